"""The group of processes that compute each training step together: all-reduce and broadcast.

An engine provides one function, ``all_reduce``: float32 [n] -> its sum over all processes.
"""

import contextlib
import ctypes
import itertools
import os
import socket
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from mmnet.distributed.heartbeat import Heartbeat
from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, hccl_all_reduce, session_config

WORD = 1 << 16  # an integer is sent as two float32 numbers below WORD, so it is not rounded

_gradient_numbers = itertools.count()  # TensorFlow never forgets the name of a gradient


class Group(NamedTuple):
    """The processes that compute each step together, as the graph of one of them sees them."""

    rank: int = 0
    size: int = 1
    all_reduce: Callable = lambda vector: vector  # float32 [n] -> sum over the group
    target: str = ""  # target of sessions


ALONE = Group()


@contextlib.contextmanager
def join_group(
    device: Device, timeout: float, identity: str = ""
) -> Iterator[Tuple[Group, Heartbeat]]:
    """Join the group of a device until the block ends. For the arguments see Heartbeat.

    Raises:
        MmnetError: a process did not connect or does not fit, or the engine is not installed.
    """
    if device.processes == 1:
        with Heartbeat(device, timeout) as heartbeat:
            yield ALONE, heartbeat
        return
    bootstrap = {}
    if device.engine == "horovod" and device.rank == 0:
        bootstrap = start_rendezvous(device)
    with Heartbeat(device, timeout, identity=identity, bootstrap=bootstrap) as heartbeat:
        yield ENGINES[device.engine](device, heartbeat.bootstrap), heartbeat


def all_reduce_mean(tensors: Sequence["tf.Tensor"], group: Group) -> List["tf.Tensor"]:
    """Return the mean of each tensor over a group. All tensors travel in one buffer."""
    if group.size == 1:
        return list(tensors)
    shapes = [tensor.shape.as_list() for tensor in tensors]
    buffer = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    parts = tf.split(group.all_reduce(buffer) / group.size, [int(np.prod(s)) for s in shapes])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes)]


def mean_with_gradient(vector: "tf.Tensor", group: Group) -> "tf.Tensor":
    """Return the mean of a vector over a group, with the gradient of the group's mean loss.

    This gradient is the mean of the gradients that arrive in all processes. (tf.custom_gradient
    gives the same result, but searches the whole graph each time.)
    """
    name = f"MeanOverGroup{next(_gradient_numbers)}"

    @tf.RegisterGradient(name)
    def mean_gradient(_, gradient, unused):
        return None, group.all_reduce(gradient) / group.size

    mean = group.all_reduce(tf.stop_gradient(vector)) / group.size
    with tf.get_default_graph().gradient_override_map({"IdentityN": name}):
        return tf.identity_n([mean, vector])[0]


class Broadcast(NamedTuple):
    """Operations that send the values of rank 0 to all processes."""

    rank: int
    values: "tf.Tensor"  # placeholder float32 [n]
    sum: "tf.Tensor"


def build_broadcast(variables: Sequence["tf.Variable"], group: Group) -> Broadcast:
    """Build the broadcast of some variables and one integer into the default graph."""
    lengths = [_length(variable.shape, variable.dtype) for variable in variables]
    values = tf.placeholder(tf.float32, [sum(lengths) + 2])
    return Broadcast(group.rank, values, group.all_reduce(values))


def broadcast(
    session: "tf.Session", operations: Broadcast, variables: Sequence["tf.Variable"], number: int
) -> Tuple[Dict[str, np.ndarray], int]:
    """Return the variables of rank 0 (name -> value) and its number, below 2**32."""
    values = session.run(variables)
    buffer = np.concatenate([_to_floats(value) for value in values] + [_to_floats(number)])
    if operations.rank != 0:
        buffer = np.zeros_like(buffer)
    buffer = session.run(operations.sum, {operations.values: buffer})
    result, start = {}, 0
    for variable, value in zip(variables, values):
        end = start + _length(value.shape, value.dtype)
        result[variable.op.name] = _from_floats(buffer[start:end], value)
        start = end
    return result, int(_from_floats(buffer[start:], np.array(number)))


def _length(shape, dtype):
    """Return how many float32 numbers hold an array."""
    size = int(np.prod([int(side) for side in shape]))
    return size if tf.as_dtype(dtype).is_floating else 2 * size


def _to_floats(value):
    """Return an array as float32 [n]. Each integer becomes two numbers."""
    value = np.asarray(value)
    if value.dtype.kind == "f":
        return value.astype(np.float32).ravel()
    return np.concatenate([value.ravel() // WORD, value.ravel() % WORD]).astype(np.float32)


def _from_floats(floats, like):
    """Reverse _to_floats. ``like`` has the shape and type of the result."""
    if like.dtype.kind == "f":
        return floats.reshape(like.shape).astype(like.dtype)
    high, low = np.rint(floats.astype(np.float64)).reshape(2, -1)
    return (high * WORD + low).astype(like.dtype).reshape(like.shape)


def start_collectives(device: Device, bootstrap: Dict[str, Any]) -> Group:
    """Start TensorFlow's collectives: gRPC, or NCCL between GPUs."""
    cluster = tf.train.ClusterSpec({"worker": list(device.addresses)})
    try:
        server = tf.train.Server(
            cluster, job_name="worker", task_index=device.rank, config=session_config(device)
        )
    except tf.errors.OpError as error:
        raise MmnetError(
            f"{device.addresses[device.rank]}: cannot listen there ({error.message})"
        ) from None
    # Keep the server until the process ends, because TensorFlow 1.15 cannot stop it.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))
    keys = itertools.count(1)  # equal in all processes, because all build the same graph

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

    return Group(device.rank, device.processes, all_reduce, server.target)


def start_horovod(device: Device, bootstrap: Dict[str, Any]) -> Group:
    """Start Horovod. Under horovodrun, the environment describes the processes."""
    horovod = _import_horovod()
    if "HOROVOD_RANK" not in os.environ:
        environ = {
            "SIZE": device.processes,
            "RANK": device.rank,
            "CROSS_SIZE": device.processes,
            "CROSS_RANK": device.rank,
            "LOCAL_SIZE": 1,
            "LOCAL_RANK": 0,
            "HOSTNAME": _horovod_host(device.rank),
            "CONTROLLER": "gloo",
            "CPU_OPERATIONS": "gloo",
            "GLOO_RENDEZVOUS_ADDR": device.addresses[0].rpartition(":")[0],
            "GLOO_RENDEZVOUS_PORT": bootstrap["rendezvous"],
        }
        os.environ.update({f"HOROVOD_{name}": str(value) for name, value in environ.items()})
        os.environ.setdefault("HOROVOD_GLOO_IFACE", _network_interface(device))
    horovod.init()
    numbers = itertools.count()

    def all_reduce(vector):
        return horovod.allreduce(vector, op=horovod.Sum, name=f"mmnet_{next(numbers)}")

    return Group(device.rank, device.processes, all_reduce)


def start_rendezvous(device: Device) -> Dict[str, Any]:
    """Start the server through which Horovod's processes find each other. Return its port.

    The result is empty under horovodrun, which starts its own server.
    """
    if not device.addresses or "HOROVOD_RANK" in os.environ:
        return {}
    _import_horovod()
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousServer

    server = RendezvousServer()
    port = server.start()  # its thread ends with this process
    hosts = ",".join(f"{_horovod_host(rank)}:1" for rank in range(device.processes))
    server.init(get_host_assignments(parse_hosts(hosts), device.processes))
    return {"rendezvous": port}


def start_hccl(device: Device, bootstrap: Dict[str, Any]) -> Group:
    """Start HCCL on Ascend chips."""
    return Group(device.rank, device.processes, hccl_all_reduce())


ENGINES = {"tensorflow": start_collectives, "horovod": start_horovod, "hccl": start_hccl}


def _import_horovod():
    try:
        import horovod.tensorflow as horovod
    except ImportError as error:
        raise MmnetError(
            f"horovod: is not installed ({error}). Run pip install 'mmnet[horovod]' with "
            "TensorFlow 1.15 or 2.15, or use tensorflow",
            "engine",
        ) from None
    return horovod


def _horovod_host(rank):
    """Return a host name for a rank: each process is a host of its own to Horovod."""
    return f"process{rank}"


def _network_interface(device):
    """Return the name of the network interface with the address of this process."""
    import psutil  # comes with Horovod

    own = socket.gethostbyname(device.addresses[device.rank].rpartition(":")[0])
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == own for address in addresses):
            return name
    raise MmnetError(f"no network interface has {own}: set HOROVOD_GLOO_IFACE to its name")
