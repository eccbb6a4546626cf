"""Which processes train together, and which of them this process is.

Each process has an address, ``host:port``. Its rank is its position in the list of addresses. A
process listens on its port for the engine that reduces gradients. Rank 0 also listens on the next
port, for heartbeats.
"""

import contextlib
import json
import os
import re
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmnet.io.errors import MmnetError, shorten, shorten_name
from mmnet.io.lazy import lazy_import
from mmnet.tf.device import Device

socket = lazy_import("socket")

PORT = 29400  # first port of a host, if there are several hosts
PORTS = 2  # per process: its own port and the next one
LAST_PORT = (1 << 16) - PORTS  # 65535 is the last port of TCP
ENGINE = "MMNET_ENGINE"  # environment variable with the engine; ``mmnet launch`` sets it
ENGINES = ("tensorflow", "horovod", "hccl")


class Plan(NamedTuple):
    """The processes that one launcher starts."""

    addresses: List[str]  # all processes, by rank
    ranks: List[int]  # processes on this host


def join_members(device: Device, environ: Mapping[str, str] = os.environ) -> Device:
    """Return a device with its rank, processes, addresses and engine from the environment.

    TF_CONFIG is set by ``mmnet launch`` and Kubeflow, HOROVOD_RANK by horovodrun, RANK_ID by the
    start scripts of Ascend. Without any of them, there is one process.
    """
    engine = environ.get(ENGINE, "hccl" if device.kind == "npu" else "tensorflow")
    if engine not in ENGINES:
        raise MmnetError(f"{ENGINE}: must be one of {', '.join(ENGINES)}, not {shorten(engine)}")
    if "HOROVOD_RANK" in environ:
        engine = "horovod"
    addresses, rank = read_tf_config(environ)
    if addresses:
        processes = len(addresses)
    elif engine == "horovod" and "HOROVOD_RANK" in environ:
        rank, processes = _read_rank(environ, "HOROVOD_RANK", "HOROVOD_SIZE")
    elif engine == "hccl" and "RANK_ID" in environ:
        rank, processes = _read_rank(environ, "RANK_ID", "RANK_SIZE")
    else:
        return device
    return device._replace(rank=rank, processes=processes, addresses=addresses, engine=engine)


def read_tf_config(environ: Mapping[str, str]) -> Tuple[Tuple[str, ...], int]:
    """Return the addresses and the rank in TF_CONFIG, or ((), 0) if it names fewer than two."""
    text = environ.get("TF_CONFIG", "")
    if not text.strip():
        return (), 0
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        chiefs = list(cluster.get("chief", cluster.get("master", [])))
        addresses = tuple(map(str, chiefs + list(cluster.get("worker", []))))
        if len(addresses) <= 1:
            return (), 0
        kind, rank = task.get("type", "worker"), int(task.get("index", 0))
        if kind == "worker":
            rank += len(chiefs)
        is_member = kind in ("chief", "master", "worker") and 0 <= rank < len(addresses)
        if not is_member:
            raise ValueError
        hosts = [split_address(address) for address in addresses]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise MmnetError(
            f"TF_CONFIG: must be JSON with a cluster (HOST:PORT of all processes, 0 < PORT <= "
            f"{LAST_PORT}) and the task of this process, a member of the cluster; it is "
            f"{shorten_name(repr(text))}"
        ) from None
    return tuple(f"{host}:{port}" for host, port in hosts), rank


def write_tf_config(addresses: Sequence[str], rank: int) -> str:
    """Return the TF_CONFIG of one process."""
    task = {"type": "worker", "index": rank}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def plan_processes(
    processes: int,
    *,
    hosts: Sequence[str] = (),
    host_index: Optional[int] = None,
    port: int = PORT,
    environ: Mapping[str, str] = os.environ,
) -> Plan:
    """Plan the addresses of all processes. Without hosts, all run on this machine on free ports.

    Args:
        processes: number of processes per host.
        hosts: ``host`` or ``host:port`` of all machines. Default: the addresses in TF_CONFIG.
        host_index: which of the hosts this machine is. Default: from the environment, or by name.
        port: first port of a host that names none.
    """
    if not hosts:
        hosts, rank = read_tf_config(environ)
        host_index = rank if host_index is None else host_index
    if len(hosts) <= 1:
        return Plan([f"127.0.0.1:{p}" for p in find_free_ports(processes)], list(range(processes)))
    pairs = [split_address(host, port) for host in hosts]
    host_index = _find_host_index([name for name, _ in pairs], host_index, environ)
    addresses = []
    for name, first in pairs:
        split_address(f"{name}:{first + PORTS * (processes - 1)}")
        addresses += [f"{name}:{first + PORTS * local}" for local in range(processes)]
    if len(set(addresses)) < len(addresses):
        raise MmnetError(f"{shorten_name(' '.join(hosts))}: two hosts are equal", "hosts")
    first_rank = host_index * processes
    return Plan(addresses, list(range(first_rank, first_rank + processes)))


def _find_host_index(hosts, host_index, environ):
    """Return which of the hosts this machine is."""
    for name in ("JOB_COMPLETION_INDEX", "SLURM_NODEID"):  # Kubernetes, Slurm
        if host_index is None and name in environ:
            host_index = _read_number(environ, name)
    if host_index is None:
        own_name = socket.gethostname()
        own_names = {own_name, own_name.split(".")[0], socket.getfqdn()}
        matches = [index for index, host in enumerate(hosts) if host in own_names]
        if len(matches) != 1:
            raise MmnetError(
                f"this machine ({own_name}) is not one of the hosts "
                f"{shorten_name(' '.join(hosts))}; give 0 to {len(hosts) - 1}",
                "host_index",
            )
        host_index = matches[0]
    if not 0 <= host_index < len(hosts):
        raise MmnetError(f"{host_index}: must be 0 to {len(hosts) - 1}", "host_index")
    return host_index


def split_address(address: str, port: Optional[int] = None) -> Tuple[str, int]:
    """Split ``host:port``. ``port`` is the default. A process also needs the next port."""
    match = re.fullmatch(r"([^:\s]+)(?::([0-9]{1,5}))?", address)
    if match and match.group(2):
        port = int(match.group(2))
    if not match or port is None or not 1 <= port <= LAST_PORT:
        raise MmnetError(
            f"{shorten_name(address)}: must be HOST or HOST:PORT, with a port from 1 to "
            f"{LAST_PORT}, because each process needs its port and the next one",
            "hosts",
        )
    return match.group(1), port


def find_free_ports(count: int) -> List[int]:
    """Return ports of this machine that are free and whose next port is free."""
    ports: List[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            first, second = (stack.enter_context(socket.socket()) for _ in range(2))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):  # the next port is not free
                second.bind(("127.0.0.1", port + 1))
                ports.append(port)
    return ports


def count_on_host(device: Device) -> int:
    """Return how many of a device's processes run on the host of this process."""
    hosts = [address.rpartition(":")[0] for address in device.addresses]
    return hosts.count(hosts[device.rank]) if hosts else 1


def _read_rank(environ, rank_name, size_name):
    rank, size = _read_number(environ, rank_name), _read_number(environ, size_name)
    if rank >= size:
        raise MmnetError(f"{rank_name}: must be below {size_name}, {size}, not {rank}")
    return rank, size


def _read_number(environ, name):
    text = environ.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise MmnetError(f"{name}: must be a number, not {shorten(text)}")
    return int(text)
