"""config.yaml beside a checkpoint: the options of its training, and which network it holds."""

import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

from mmnet.io.checkpoint_files import RUN_FILE
from mmnet.io.errors import MmnetError
from mmnet.io.lazy import lazy_import
from mmnet.io.records import to_record
from mmnet.networks.network import Network, make_network, network_fields
from mmnet.networks.registry import find_definition

yaml = lazy_import("yaml")
yaml_files = lazy_import("mmnet.io.yaml_files")


class NetworkRecord(NamedTuple):
    """The options in a RUN_FILE that describe the network."""

    network: Optional[str] = None
    width_multiplier: Optional[float] = None
    size: Optional[int] = None
    shape: Optional[Tuple[int, int]] = None
    channels: Optional[int] = None


def network_of_run(prefix: str) -> Dict[str, Any]:
    """Return the fields of Network that the run of a checkpoint (its prefix) recorded."""
    return network_in(os.path.join(os.path.dirname(prefix), RUN_FILE))


def network_in(path: str) -> Dict[str, Any]:
    """Return the fields of Network in a RUN_FILE. A missing file has none."""
    if not os.path.exists(path):
        return {}
    fields = network_fields(to_record(yaml_files.read_yaml(path), NetworkRecord, path)._asdict())
    try:
        find_definition(make_network(fields))
    except MmnetError as error:
        raise MmnetError(f"{path}: {error}") from None
    return fields


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
    """Return YAML in the given order. Tuples become lists."""
    return yaml.safe_dump(values, sort_keys=False)
