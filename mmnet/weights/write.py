"""Weights as a checkpoint."""

import os

import numpy as np

from mmnet.io.checkpoint_files import RUN_FILE
from mmnet.io.errors import MmnetError
from mmnet.io.files import write_text
from mmnet.networks.network import make_network
from mmnet.tf import checkpoint
from mmnet.weights.run_file import network_in, network_yaml
from mmnet.weights.values import is_network_variable


def write_weights(prefix, weights):
    """Write a checkpoint of the network alone, and beside it which network it is.

    Raises:
        ValueError: another network's checkpoints lie in that folder.
    """
    folder = os.path.dirname(os.path.abspath(prefix))
    run_file = os.path.join(folder, RUN_FILE)
    if os.path.exists(run_file) and make_network(network_in(run_file)) != weights.network:
        raise MmnetError(
            "%s is the folder of %s: give another folder"
            % (folder, make_network(network_in(run_file)))
        )
    values = {name: value for name, value in weights.values.items() if is_network_variable(name)}
    if weights.step is not None:
        values["global_step"] = np.int64(weights.step)
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(run_file):
        write_text(run_file, network_yaml(weights.network))
    checkpoint.write(prefix, values)
