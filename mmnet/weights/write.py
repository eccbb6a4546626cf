"""Write weights as a checkpoint."""

import os
from typing import Sequence

import numpy as np

from mmnet.io.checkpoint_files import LATEST_FILE, LATEST_KEY, files_of, list_checkpoints
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_replaceable, check_writable, write_text
from mmnet.io.yaml_files import read_yaml
from mmnet.networks.network import make_network
from mmnet.tf import checkpoint
from mmnet.weights.run_file import RUN_FILE, NetworkRecord, network_in, network_options, to_yaml
from mmnet.weights.values import Weights, is_network_variable


def check_prefix(prefix: str, sources: Sequence[str] = ()) -> None:
    """Raise MmnetError unless write_weights may write to a prefix.

    Its folder contains no checkpoints of a training or of another program: a training would resume
    from the new one. ``sources`` are prefixes and files that are never replaced.
    """
    folder, name = os.path.split(prefix)
    folder = folder or "."
    if name in ("", ".", "..") or os.path.isdir(prefix):
        example = os.path.join(prefix, "MMNetModel-0")
        raise MmnetError(f"{prefix} is a folder; give a prefix, for example {example}", "output")
    check_writable(folder)
    run_file = os.path.join(folder, RUN_FILE)
    has_run_file = os.path.lexists(run_file)
    is_own = has_run_file and read_yaml(run_file).keys() <= set(NetworkRecord._fields)
    has_checkpoints = os.path.isdir(folder) and bool(list_checkpoints(folder))
    if not is_own and (has_run_file or has_checkpoints):
        problem = "contains a training, or checkpoints that this command did not write"
        raise MmnetError(f"{folder} {problem}; use another folder", "output")
    inputs = [path for source in sources for path in (source, *files_of(source))]
    for path in files_of(prefix):
        check_replaceable(path, lambda data: is_own, inputs=inputs)
    latest = os.path.join(folder, LATEST_FILE)
    check_replaceable(latest, lambda data: data.startswith(LATEST_KEY.encode()), inputs=inputs)


def write_weights(prefix: str, weights: Weights) -> None:
    """Write a checkpoint of the network alone, and a RUN_FILE with the network in its folder.

    Raise MmnetError if check_prefix refuses the prefix, or if the folder contains another network.
    """
    check_prefix(prefix)
    folder = os.path.dirname(os.path.abspath(prefix))
    run_file = os.path.join(folder, RUN_FILE)
    has_run_file = os.path.exists(run_file)
    if has_run_file:
        network = make_network(network_in(run_file))
        if network != weights.network:
            raise MmnetError(f"{folder}: contains checkpoints of {network}; use another folder")
    values = {name: value for name, value in weights.values.items() if is_network_variable(name)}
    if weights.step is not None:
        values["global_step"] = np.array(weights.step, np.int64)
    os.makedirs(folder, exist_ok=True)
    if not has_run_file:
        options = network_options(weights.network).items()
        write_text(run_file, to_yaml({name: value for name, value in options if value is not None}))
    checkpoint.write(prefix, values)
