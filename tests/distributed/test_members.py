"""Tests of mmnet.distributed.members."""

import json
import socket

import pytest

from helpers import assert_raises
from mmnet.distributed.members import (
    ENGINE,
    count_on_host,
    find_free_ports,
    join_members,
    plan_processes,
    read_tf_config,
    write_tf_config,
)
from mmnet.io.errors import MmnetError
from mmnet.tf.device import Device

ADDRESSES = ("a:1000", "b:1000", "b:1002")


def test_tf_config_survives_reading():
    environ = {"TF_CONFIG": write_tf_config(ADDRESSES, 1)}
    assert read_tf_config(environ) == (ADDRESSES, 1)
    assert join_members(Device(), environ) == Device(rank=1, processes=3, addresses=ADDRESSES)
    assert join_members(Device(), dict(environ, **{ENGINE: "hccl"})).engine == "hccl"


@pytest.mark.parametrize("kind, index, rank", [("chief", 0, 0), ("worker", 1, 2)])
def test_chief_has_rank_0(kind, index, rank):
    cluster = {"chief": ["c:1"], "worker": ["w:1", "w:2"], "ps": ["p:1"]}
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    assert read_tf_config({"TF_CONFIG": json.dumps(config)}) == (("c:1", "w:1", "w:2"), rank)


@pytest.mark.parametrize("environ", [{}, {"TF_CONFIG": " "}, {"TF_CONFIG": "{}"}])
def test_default_is_one_process(environ):
    assert join_members(Device("cpu"), environ) == Device("cpu")


@pytest.mark.parametrize(
    "config",
    [
        [1],
        {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 2}},
        {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "ps"}},
        {"cluster": {"worker": ["a", "b:1"]}},
        {"cluster": {"worker": ["a:99999", "b:1"]}},
        {"cluster": {"worker": ["a:1", "b:65535"]}},
        {"cluster": {"worker": ["a:0", "b:1"]}},
        {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": float("inf")}},
    ],
    ids=[
        "no object",
        "index too high",
        "parameter server",
        "no port",
        "port too high",
        "no port for heartbeats",
        "port 0",
        "infinite index",
    ],
)
def test_invalid_tf_config_is_rejected(config):
    for text in (json.dumps(config), json.dumps(config)[:-1]):
        with assert_raises(MmnetError, "TF_CONFIG", "JSON", text):
            join_members(Device(), {"TF_CONFIG": text})


@pytest.mark.parametrize("text", ["[" * 100000, '{"a":' * 100000, "x" * 100000])
def test_message_about_tf_config_is_short(text):
    with assert_raises(MmnetError, "TF_CONFIG", text[:20]) as caught:
        join_members(Device(), {"TF_CONFIG": text})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "device, environ, expected",
    [
        (Device(), {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "4"}, (1, 4, "horovod")),
        (Device("npu"), {"RANK_ID": "2", "RANK_SIZE": "8"}, (2, 8, "hccl")),
        (Device(), {"RANK_ID": "2", "RANK_SIZE": "8"}, (0, 1, "tensorflow")),
    ],
    ids=["horovodrun", "Ascend", "other device"],
)
def test_members_of_other_launchers(device, environ, expected):
    device = join_members(device, environ)
    assert (device.rank, device.processes, device.engine) == expected


@pytest.mark.parametrize("rank, size", [("0", "x"), ("0", "0"), ("2", "2"), ("0", "9" * 5000)])
def test_invalid_rank_is_rejected(rank, size):
    with assert_raises(MmnetError, "RANK_SIZE") as caught:
        join_members(Device("npu"), {"RANK_ID": rank, "RANK_SIZE": size})
    assert len(str(caught.value)) < 200


def test_unknown_engine_is_rejected():
    with assert_raises(MmnetError, ENGINE, "'x'"):
        join_members(Device(), {ENGINE: "x"})


def test_count_on_host():
    assert count_on_host(Device(rank=1, processes=3, addresses=ADDRESSES)) == 2
    assert count_on_host(Device()) == 1


def test_plan_without_hosts_uses_free_ports():
    plan = plan_processes(3, environ={})
    assert plan.ranks == [0, 1, 2]
    assert len(set(plan.addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in plan.addresses)


@pytest.mark.parametrize(
    "host_index, environ, ranks",
    [
        (1, {}, [2, 3]),
        (None, {"JOB_COMPLETION_INDEX": "1"}, [2, 3]),
        (None, {"SLURM_NODEID": "0"}, [0, 1]),
    ],
    ids=["host_index", "Kubernetes", "Slurm"],
)
def test_plan_with_hosts(host_index, environ, ranks):
    plan = plan_processes(2, hosts=["a", "b:5000"], host_index=host_index, environ=environ)
    assert plan == (["a:29400", "a:29402", "b:5000", "b:5002"], ranks)


def test_plan_uses_tf_config_and_host_name():
    environ = {"TF_CONFIG": write_tf_config(("a:1", "b:1"), 1)}
    assert plan_processes(2, environ=environ) == (["a:1", "a:3", "b:1", "b:3"], [2, 3])
    assert plan_processes(1, hosts=["elsewhere", socket.gethostname()], environ={}).ranks == [1]


@pytest.mark.parametrize(
    "hosts, host_index, tokens",
    [
        (["a", "b"], None, ["host_index", "a b"]),
        (["a", "b"], 2, ["host_index", "2"]),
        (["a", "a"], 0, ["hosts", "a a"]),
        (["a", "b:x"], 0, ["hosts", "b:x"]),
        (["a", "b:99999"], 0, ["hosts", "b:99999", "65534"]),
        (["a", "b:65535"], 0, ["hosts", "b:65535", "65534"]),
        (["a", "b:0"], 0, ["hosts", "b:0"]),
    ],
)
def test_invalid_hosts_are_rejected(hosts, host_index, tokens):
    with assert_raises(MmnetError, *tokens):
        plan_processes(1, hosts=hosts, host_index=host_index, environ={})


def test_last_port_of_a_host_is_checked():
    with assert_raises(MmnetError, "hosts", "a:65536"):
        plan_processes(2, hosts=["a:65534", "b"], host_index=0, environ={})


def test_message_about_many_hosts_is_short():
    hosts = [f"host{number}" for number in range(100000)]
    for names in (hosts, hosts + hosts[:1]):
        with assert_raises(MmnetError, "host0", "host9999") as caught:
            plan_processes(1, hosts=names, host_index=None if names is hosts else 0, environ={})
        assert len(str(caught.value)) < 500


def test_free_ports_and_the_next_ports_are_free():
    for port in find_free_ports(3):
        for number in (port, port + 1):
            with socket.socket() as server:
                server.bind(("127.0.0.1", number))
