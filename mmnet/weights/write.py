"""Write weights as a checkpoint."""

import os

import numpy as np

from mmnet.io.errors import MmnetError
from mmnet.io.files import write_text
from mmnet.networks.network import make_network
from mmnet.tf import checkpoint
from mmnet.weights.run_file import RUN_FILE, network_in, network_options, to_yaml
from mmnet.weights.values import Weights, is_network_variable


def write_weights(prefix: str, weights: Weights) -> None:
    """Write a checkpoint of the network alone, and a RUN_FILE with the network in its folder.

    Raise MmnetError if the folder belongs to a training of another network.
    """
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
