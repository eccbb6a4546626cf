"""The group of processes that compute each training step together: all-reduce and broadcast.

An engine provides one function, ``all_reduce``: float32 [n] -> its sum over all processes.
"""

import contextlib
import ctypes
import itertools
import os
import socket
from typing import Any, Callable, Dict, Iterator, NamedTuple, Sequence, Tuple

import numpy as np

from mmnet.distributed.heartbeat import Heartbeat
from mmnet.io.errors import MmnetError
from mmnet.io.optional import install_command
from mmnet.tf.compat import tf
from mmnet.tf.device import Device, hccl_all_reduce, session_config

_gradient_numbers = itertools.count()  # TensorFlow never forgets the name of a gradient


class Group(NamedTuple):
    """The processes that compute each step together, as the graph of one of them sees them."""

    rank: int = 0
    size: int = 1
    all_reduce: Callable = lambda vector: vector  # float32 [n] -> sum over the group
    target: str = ""  # target of sessions


ALONE = Group()


@contextlib.contextmanager
def join_group(device: Device, identity: str = "") -> Iterator[Tuple[Group, Heartbeat]]:
    """Join the group of a device until the block ends. For the arguments see Heartbeat."""
    bootstrap = {}
    if device.engine == "horovod" and device.rank == 0:
        bootstrap = start_rendezvous(device)
    with Heartbeat(device, identity, bootstrap) as heartbeat:
        group = ALONE
        if device.processes > 1:
            group = ENGINES[device.engine](device, heartbeat.bootstrap)
        yield group, heartbeat


def all_reduce_mean(tensors: Any, group: Group) -> Any:
    """Return the mean of each tensor over a group. All tensors travel in one buffer.

    ``tensors`` is a tensor, or a list or dictionary of tensors; the result has the same structure.
    """
    if group.size == 1:
        return tensors
    flat = tf.nest.flatten(tensors)
    shapes = [tensor.shape.as_list() for tensor in flat]
    buffer = tf.concat([tf.reshape(tensor, [-1]) for tensor in flat], 0)
    parts = tf.split(group.all_reduce(buffer) / group.size, [int(np.prod(s)) for s in shapes])
    means = [tf.reshape(part, shape) for part, shape in zip(parts, shapes)]
    return tf.nest.pack_sequence_as(tensors, means)


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


def broadcast(
    session: "tf.Session", variables: Sequence["tf.Variable"], number: int, group: Group
) -> Tuple[Dict[str, np.ndarray], int]:
    """Return the variables of rank 0 (name -> value) and its number.

    The sum over the group sends them, because the other ranks add zeros. Each pair of bytes becomes
    one float32 number, which holds it exactly.
    """
    arrays = [*session.run(variables), np.int64(number)]
    buffer = np.frombuffer(b"".join(array.tobytes() for array in arrays), np.uint16)
    if group.rank != 0:
        buffer = np.zeros_like(buffer)
    placeholder = tf.placeholder(tf.float32, buffer.shape)
    buffer = session.run(group.all_reduce(placeholder), {placeholder: buffer})
    data, start, values = buffer.astype(np.uint16).tobytes(), 0, []
    for array in arrays:
        value = np.frombuffer(data[start : start + array.nbytes], array.dtype)
        values.append(value.reshape(array.shape))
        start += array.nbytes
    names = [variable.op.name for variable in variables]
    return dict(zip(names, values)), int(values[-1])


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
            "HOSTNAME": f"process{device.rank}",  # to Horovod, each process is a host
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
    """Start the server through which Horovod's processes find each other. Return its port."""
    if not device.addresses or "HOROVOD_RANK" in os.environ:
        return {}
    _import_horovod()
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.http.http_server import RendezvousServer

    server = RendezvousServer()
    port = server.start()  # its thread ends with this process
    hosts = ",".join(f"process{rank}:1" for rank in range(device.processes))
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
            f"horovod: is not installed ({error}): {install_command('horovod')} "
            "with TensorFlow 1.15 or 2.15; or use tensorflow",
            "engine",
        ) from None
    return horovod


def _network_interface(device):
    """Return the name of the network interface with the address of this process."""
    import psutil  # comes with Horovod

    own = socket.gethostbyname(device.addresses[device.rank].rpartition(":")[0])
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == own for address in addresses):
            return name
    raise MmnetError(f"no network interface has {own}: set HOROVOD_GLOO_IFACE to its name")
