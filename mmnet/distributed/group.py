"""What adds up tensors over processes: TensorFlow's collectives, Horovod, or HCCL on Ascend.

An engine is one function: a vector of float32 -> its sum over all processes. Everything else here
is built on that.
"""

import contextlib
import ctypes
import itertools
import os
import socket
from typing import Callable, NamedTuple

import numpy as np

from mmnet.distributed.heartbeat import Heartbeat
from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf
from mmnet.tf.device import hccl_all_reduce, session_config

_gradients = itertools.count()  # TensorFlow keeps their names for ever
WORD = 1 << 16  # whole numbers travel as two float32, each below this


class Group(NamedTuple):
    """The processes that take a step together, as a graph sees them."""

    rank: int = 0
    size: int = 1
    all_reduce: Callable = lambda vector: vector  # float32 [n] -> the sum over the group
    target: str = ""  # of the session that runs it


ALONE = Group()


@contextlib.contextmanager
def join_group(device, timeout, identity):
    """The (Group, Peers) of a Device, until the block ends.

    timeout: seconds that a process may be silent or behind. identity: as Peers.

    Raises:
        ValueError: a process that does not come or fit; an engine that is not installed.
    """
    if device.processes == 1:
        with Heartbeat(device, timeout) as peers:
            yield ALONE, peers
        return
    engine = ENGINES[device.engine]
    with engine.telling(device) as telling, Heartbeat(device, timeout, identity, telling) as peers:
        target, all_reduce = engine.start(device, peers.told)
        yield Group(device.rank, device.processes, all_reduce, target), peers


def means(tensors, group):
    """The mean of each tensor over a group: they travel in one buffer."""
    if group.size == 1:
        return list(tensors)
    shapes = [tensor.shape.as_list() for tensor in tensors]
    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    parts = tf.split(group.all_reduce(flat) / group.size, [int(np.prod(s)) for s in shapes])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes)]


def mean_in_backward_too(vector, group):
    """The mean of a vector over a group; gradients through it are those of the group's mean loss.

    Of that loss, the gradient with respect to each process's vector is the mean of what comes back
    in all of them. (tf.custom_gradient would say the same, and searches the whole graph each time.)
    """
    name = "MeanOfGroup%d" % next(_gradients)

    @tf.RegisterGradient(name)
    def mean_of_what_comes_back(_, back, unused):
        return None, group.all_reduce(back) / group.size

    mean = group.all_reduce(tf.stop_gradient(vector)) / group.size
    with tf.get_default_graph().gradient_override_map({"IdentityN": name}):
        return tf.identity_n([mean, vector])[0]


class Sharing(NamedTuple):
    """Operations by which all get what rank 0 has."""

    rank: int
    given: "tf.Tensor"  # placeholder float32 [n]
    sum: "tf.Tensor"


def build_sharing(variables, group):
    """The Sharing of these variables' values and of one more whole number; before the first run."""
    numbers = sum(_length(variable.shape, variable.dtype) for variable in variables)
    given = tf.placeholder(tf.float32, [numbers + 2])
    return Sharing(group.rank, given, group.all_reduce(given))


def share(session, sharing, variables, number):
    """({name: value of rank 0}, the number of rank 0): the same in every process.

    Args:
        number: a whole number below 2**32.
    """
    values = session.run(variables)
    flat = np.concatenate([_floats(value) for value in values] + [_floats(np.array(number))])
    given = flat if sharing.rank == 0 else np.zeros_like(flat)
    flat = session.run(sharing.sum, {sharing.given: given})
    found, place = {}, 0
    for variable, value in zip(variables, values):
        length = _length(value.shape, value.dtype)
        found[variable.op.name] = _value(flat[place : place + length], value)
        place += length
    return found, int(_value(flat[place:], np.array(number)))


def _length(shape, dtype):
    numbers = int(np.prod([int(side) for side in shape]))
    return numbers if tf.as_dtype(dtype).is_floating else 2 * numbers


def _floats(value):
    """float32 [n] of an array; a whole number is two, so that none is rounded."""
    value = np.asarray(value)
    if value.dtype.kind == "f":
        return value.astype(np.float32).ravel()
    return np.concatenate([value.ravel() // WORD, value.ravel() % WORD]).astype(np.float32)


def _value(flat, like):
    """What _floats made of an array like ``like``."""
    if like.dtype.kind == "f":
        return flat.reshape(like.shape).astype(like.dtype)
    high, low = np.rint(flat.astype(np.float64)).reshape(2, -1)
    return (high * WORD + low).astype(like.dtype).reshape(like.shape)


class Engine(NamedTuple):
    """How processes add up."""

    # Device -> context of what rank 0 tells all first (a dict); of that process alone.
    telling: Callable
    start: Callable  # (Device, what was told) -> (target of sessions, all_reduce)


@contextlib.contextmanager
def _nothing(device):
    yield {}


def _start_collectives(device, told):
    """TensorFlow's own, over gRPC, or NCCL on GPUs."""
    cluster = tf.train.ClusterSpec({"worker": list(device.addresses)})
    try:
        server = tf.train.Server(
            cluster, job_name="worker", task_index=device.rank, config=session_config(device)
        )
    except tf.errors.OpError as error:
        raise MmnetError(
            "no server can be started at %s (%s)" % (device.addresses[device.rank], error.message)
        ) from None
    # It stays until the process ends: TensorFlow 1.15 cannot stop one, and complains.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))
    keys = itertools.count(1)  # the same in every process, since all build the same graph

    def all_reduce(vector):
        return tf.raw_ops.CollectiveReduce(
            input=vector,
            group_size=device.processes,
            group_key=1,
            instance_key=next(keys),
            merge_op="Add",
            final_op="Id",
            subdiv_offsets=[0],
        )

    return server.target, all_reduce


@contextlib.contextmanager
def _rendezvous(device):
    """The server by which Horovod's processes find each other; horovodrun has its own."""
    if device.rank or not device.addresses or "HOROVOD_RANK" in os.environ:
        yield {}
        return
    _need_horovod()
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousServer

    server = RendezvousServer()
    told = {"rendezvous": server.start()}
    hosts = ",".join("%s:1" % _horovod_host(rank) for rank in range(device.processes))
    server.init(get_host_assignments(parse_hosts(hosts), device.processes))
    yield told  # its thread ends with this process


def _start_horovod(device, told):
    horovod = _need_horovod()
    if "HOROVOD_RANK" not in os.environ:
        host = device.addresses[0].rpartition(":")[0]
        one_each = {"SIZE": device.processes, "RANK": device.rank, "CROSS_RANK": device.rank}
        one_each.update(CROSS_SIZE=device.processes, LOCAL_RANK=0, LOCAL_SIZE=1)
        one_each.update(HOSTNAME=_horovod_host(device.rank), CONTROLLER="gloo")
        one_each.update(CPU_OPERATIONS="gloo", GLOO_RENDEZVOUS_ADDR=host)
        one_each.update(GLOO_RENDEZVOUS_PORT=told["rendezvous"])
        os.environ.update({"HOROVOD_" + name: str(value) for name, value in one_each.items()})
        os.environ.setdefault("HOROVOD_GLOO_IFACE", _interface_of(device))
    horovod.init()
    names = itertools.count()

    def all_reduce(vector):
        return horovod.allreduce(vector, op=horovod.Sum, name="mmnet_%d" % next(names))

    return "", all_reduce


def _need_horovod():
    try:
        import horovod.tensorflow as horovod
    except ImportError as error:
        raise MmnetError(
            "--engine horovod needs Horovod (%s): pip install 'mmnet[horovod]', which builds it "
            "for TensorFlow 1.15 or 2.15; or choose --engine tensorflow" % error
        ) from None
    return horovod


def _horovod_host(rank):
    """Every process is a host of its own to Horovod."""
    return "process%d" % rank


def _interface_of(device):
    """The name of the network interface that has this process's address."""
    import psutil  # comes with Horovod

    own = socket.gethostbyname(device.addresses[device.rank].rpartition(":")[0])
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == own for address in addresses):
            return name
    raise MmnetError("no network interface has %s: name one with HOROVOD_GLOO_IFACE" % own)


def _start_hccl(device, told):
    return "", hccl_all_reduce()


ENGINES = {
    "tensorflow": Engine(_nothing, _start_collectives),
    "horovod": Engine(_rendezvous, _start_horovod),
    "hccl": Engine(_nothing, _start_hccl),
}
