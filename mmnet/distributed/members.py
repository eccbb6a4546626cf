"""Which processes train together: told by the environment, or planned from a list of hosts.

Every process is an address, ``host:port``; its place in the list is its rank. A process listens on
its port for the engine; that of rank 0 also on the next one, for the others' signs of life.
"""

import json
import os
import re
import socket
from typing import List, NamedTuple

from mmnet.io.errors import MmnetError

PORT = 29400  # of a host's first process, where other hosts must know it
PORTS = 2  # of each process: its own, and the next one
NAMES = re.compile(r"([^\[,]+)(?:\[([^\]]*)\])?,?")  # a part of Slurm's list: node[1-3,7]


class Plan(NamedTuple):
    """What one launcher has to start."""

    addresses: List[str]  # of all processes, by rank
    ranks: List[int]  # of those that belong to this host


def members_here(engine, environ=os.environ):
    """Fields of a Device: rank, processes, addresses and engine, as the environment tells them.

    TF_CONFIG tells of them, as TensorFlow's own strategies, Kubeflow and mmnet launch have it; with
    the engine horovod what horovodrun sets, with hccl what Ascend's start scripts set. Without any
    of these, there is one process.

    Raises:
        ValueError: a variable that is not what its documents say.
    """
    found = {"engine": engine}
    for own, rank, size in (
        ("horovod", "HOROVOD_RANK", "HOROVOD_SIZE"),
        ("hccl", "RANK_ID", "RANK_SIZE"),
    ):
        if engine == own and rank in environ:
            found.update(rank=_number(environ, rank), processes=_number(environ, size))
    addresses, rank = read_tf_config(environ)
    if len(addresses) > 1:
        found.update(rank=rank, processes=len(addresses), addresses=addresses)
    return found


def read_tf_config(environ):
    """(addresses, rank) of TF_CONFIG; ((), 0) where it is not set or tells of one process."""
    written = environ.get("TF_CONFIG", "")
    if not written.strip():
        return (), 0
    try:
        said = json.loads(written)
        cluster, task = said.get("cluster", {}), said.get("task", {})
        chiefs = list(cluster.get("chief", cluster.get("master", [])))
        addresses = tuple(chiefs + list(cluster.get("worker", [])))
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError):
        raise MmnetError("TF_CONFIG is JSON with cluster and task, not %r" % written[:80]) from None
    if len(addresses) <= 1:
        return (), 0
    rank = index + (len(chiefs) if kind == "worker" else 0)
    if kind not in ("chief", "master", "worker") or not 0 <= rank < len(addresses):
        raise MmnetError(
            "TF_CONFIG: this process is %s %d, which is none of the %d that train"
            % (kind, index, len(addresses))
        )
    for address in addresses:
        if not re.fullmatch(r".+:\d+", str(address)):
            raise MmnetError("TF_CONFIG: %r is not host:port" % (address,))
    return addresses, rank


def write_tf_config(addresses, rank):
    """The text of a TF_CONFIG."""
    task = {"type": "worker", "index": rank}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def plan(settings, environ=os.environ):
    """The Plan of a launcher (settings: config.settings.Launch).

    Hosts come from --hosts, TF_CONFIG or Slurm; without these, there is this one alone, where free
    ports are found.

    Raises:
        ValueError: which of the hosts this is cannot be told, or a host is no host.
    """
    hosts, index = hosts_of(settings, environ)
    if len(hosts) <= 1:
        ports = free_ports(settings.processes)
        return Plan(["127.0.0.1:%d" % port for port in ports], list(range(settings.processes)))
    addresses, ranks = [], []
    for number, host in enumerate(hosts):
        name, first = split_address(host, settings.port)
        for local in range(settings.processes):
            if number == index:
                ranks.append(len(addresses))
            addresses.append("%s:%d" % (name, first + PORTS * local))
    if len(set(addresses)) < len(addresses):
        raise MmnetError("--hosts: two of %s are the same" % " ".join(hosts))
    return Plan(addresses, ranks)


def hosts_of(settings, environ):
    """(hosts, each with its port or without; the index of this one)"""
    index = settings.host_index
    if settings.hosts:
        hosts = list(settings.hosts)
        named = ("JOB_COMPLETION_INDEX", "SLURM_NODEID")
    elif environ.get("TF_CONFIG"):
        hosts, own = read_tf_config(environ)
        return list(hosts), own if index is None else index
    else:
        hosts = expand_hosts(environ.get("SLURM_STEP_NODELIST", ""))
        named = ("SLURM_NODEID",)
    for name in named:
        if index is None and name in environ:
            index = _number(environ, name)
    if index is None and len(hosts) > 1:
        names = [split_address(host, 0)[0] for host in hosts]
        own = {socket.gethostname(), socket.gethostname().split(".")[0], socket.getfqdn()}
        here = [place for place, name in enumerate(names) if name in own]
        if len(here) != 1:
            raise MmnetError(
                "which of the hosts %s is this one (%s)? say it with --host_index 0 to %d"
                % (" ".join(hosts), socket.gethostname(), len(hosts) - 1)
            )
        index = here[0]
    if index is not None and hosts and not 0 <= index < len(hosts):
        raise MmnetError(
            "host %d is none of the %d hosts, 0 to %d" % (index, len(hosts), len(hosts) - 1)
        )
    return hosts, index or 0


def expand_hosts(listed):
    """Slurm's short form of a list: ``gpu[01-03,7],login`` -> gpu01 gpu02 gpu03 gpu7 login."""
    hosts = []
    for prefix, inside in NAMES.findall(listed):
        for part in inside.split(","):
            first, dash, last = part.partition("-")
            if not dash:
                hosts.append(prefix + first)
                continue
            for number in range(int(first), int(last) + 1):
                hosts.append(prefix + str(number).zfill(len(first)))
    return hosts


def split_address(address, port):
    """``host`` or ``host:port`` -> (host, port), ``port`` where it names none."""
    match = re.fullmatch(r"([^:\s]+)(?::(\d+))?", address)
    if not match:
        raise MmnetError("--hosts: %r is not a host, or host:port" % address)
    return match.group(1), int(match.group(2) or port)


def free_ports(count):
    """Ports of this machine that nobody listens on, and whose next ones are free, too."""
    ports, held = [], []
    try:
        while len(ports) < count:
            one, following = socket.socket(), socket.socket()
            held += [one, following]
            one.bind(("127.0.0.1", 0))
            try:
                following.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except (OSError, OverflowError):
                continue
            ports.append(one.getsockname()[1])
    finally:
        for each in held:
            each.close()
    return ports


def sharing_host(device):
    """How many of a Device's processes run on its own host, itself included."""
    hosts = [address.rpartition(":")[0] for address in device.addresses]
    return hosts.count(hosts[device.rank]) if hosts else 1


def _number(environ, name):
    try:
        return int(environ[name])
    except (KeyError, ValueError):
        raise MmnetError("%s is a number, not %r" % (name, environ.get(name))) from None
