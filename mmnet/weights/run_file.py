"""config.yaml beside a checkpoint: the options of its training, and which network it holds."""

import os
from typing import Any, Dict

import yaml

from mmnet.io.checkpoint_files import RUN_FILE
from mmnet.io.errors import MmnetError
from mmnet.io.records import to_record
from mmnet.io.yaml_files import read_yaml
from mmnet.networks.network import Network, NetworkRecord, network_fields


def network_of_run(prefix: str) -> Dict[str, Any]:
    """Return the fields of Network that the run of a checkpoint (its prefix) recorded."""
    return network_in(os.path.join(os.path.dirname(prefix), RUN_FILE))


def network_in(path: str) -> Dict[str, Any]:
    """Return the fields of Network in a RUN_FILE. A missing file has none.

    Raises:
        MmnetError: the file is not YAML, or a field has the wrong type.
    """
    if not os.path.exists(path):
        return {}
    values = {name: value for name, value in read_yaml(path).items() if value is not None}
    if isinstance(values.get("size"), bool) or not isinstance(values.get("size", 1), int):
        raise MmnetError(f"{path}: size: must be a whole number")
    record = to_record(values, NetworkRecord, path)
    return network_fields({k: v for k, v in record._asdict().items() if v is not None})


def network_options(network: Network) -> Dict[str, Any]:
    """Return a Network as the options ``network``, ``size`` or ``shape``, and so on."""
    square = network.shape[0] == network.shape[1]
    return {
        "network": network.name,
        "width_multiplier": network.width_multiplier,
        "size": network.shape[0] if square else None,
        "shape": None if square else network.shape,
        "channels": None if network.channels == 3 else network.channels,
    }


def to_yaml(values: Dict[str, Any]) -> str:
    """Return YAML with tuples as lists, in the given order."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return yaml.safe_dump(plain, sort_keys=False)
