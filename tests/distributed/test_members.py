"""Which processes train together, as TF_CONFIG, Slurm, Kubernetes and flags tell it."""

import json
import socket

import pytest

from mmnet.commands.presets import resolve
from mmnet.distributed.members import (
    expand_hosts,
    free_ports,
    members_here,
    plan,
    read_tf_config,
    sharing_host,
    write_tf_config,
)
from mmnet.tf.device import Device

ADDRESSES = ("a:1000", "b:1000", "b:1002")


def launch_settings(**flags):
    return resolve("launch", dict(flags, command=["train"]))


def test_tf_config_there_and_back():
    environ = {"TF_CONFIG": write_tf_config(ADDRESSES, 1)}
    assert read_tf_config(environ) == (ADDRESSES, 1)
    found = members_here("tensorflow", environ)
    assert found == {"engine": "tensorflow", "rank": 1, "processes": 3, "addresses": ADDRESSES}
    assert sharing_host(Device(**found)) == 2 and sharing_host(Device()) == 1


def test_a_chief_is_the_first():
    cluster = {"chief": ["c:1"], "worker": ["w:1", "w:2"], "ps": ["p:1"]}
    for task, rank in (({"type": "chief", "index": 0}, 0), ({"type": "worker", "index": 1}, 2)):
        environ = {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}
        assert read_tf_config(environ) == (("c:1", "w:1", "w:2"), rank)


def test_one_process_without_word_of_others():
    for environ in ({}, {"TF_CONFIG": " "}, {"TF_CONFIG": "{}"}):
        assert members_here("tensorflow", environ) == {"engine": "tensorflow"}


@pytest.mark.parametrize(
    "written, says",
    [
        ("{", "JSON"),
        ("[1]", "JSON"),
        (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 2}}), "none of"),
        (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "ps"}}), "is ps 0"),
        (json.dumps({"cluster": {"worker": ["a", "b:1"]}}), "'a' is not host:port"),
    ],
)
def test_bad_tf_configs(written, says):
    with pytest.raises(ValueError, match="TF_CONFIG.*" + says):
        members_here("tensorflow", {"TF_CONFIG": written})


def test_what_horovodrun_and_ascends_scripts_set():
    environ = {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "4", "RANK_ID": "2", "RANK_SIZE": "8"}
    assert members_here("horovod", environ) == {"engine": "horovod", "rank": 1, "processes": 4}
    assert members_here("hccl", environ) == {"engine": "hccl", "rank": 2, "processes": 8}
    with pytest.raises(ValueError, match="RANK_SIZE is a number, not 'x'"):
        members_here("hccl", dict(environ, RANK_SIZE="x"))


def test_slurms_lists():
    assert expand_hosts("gpu[08-10,7],login") == ["gpu08", "gpu09", "gpu10", "gpu7", "login"]
    assert expand_hosts("one") == ["one"] and expand_hosts("") == []


def test_plans():
    alone = plan(launch_settings(processes="3"), {})
    assert alone.ranks == [0, 1, 2]
    assert len(set(alone.addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in alone.addresses)

    expected = ["a:29400", "a:29402", "b:5000", "b:5002"]
    hosts = {"hosts": ["a", "b:5000"], "processes": "2"}
    for flags, environ, ranks in (
        (dict(hosts, host_index="1"), {}, [2, 3]),
        (hosts, {"JOB_COMPLETION_INDEX": "1"}, [2, 3]),
        (hosts, {"SLURM_NODEID": "0"}, [0, 1]),
    ):
        assert plan(launch_settings(**flags), environ) == (expected, ranks)
    slurm = {"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_NODEID": "1"}
    assert plan(launch_settings(), slurm) == (["n1:29400", "n2:29400"], [1])
    told = {"TF_CONFIG": write_tf_config(("a:1", "b:1"), 1)}
    assert plan(launch_settings(processes="2"), told) == (["a:1", "a:3", "b:1", "b:3"], [2, 3])
    named = plan(launch_settings(hosts=["elsewhere", socket.gethostname()]), {})
    assert named.ranks == [1]


@pytest.mark.parametrize(
    "flags, says",
    [
        ({"hosts": ["a", "b"]}, "which of the hosts a b is this one"),
        ({"hosts": ["a", "b"], "host_index": "2"}, "host 2 is none of the 2 hosts, 0 to 1"),
        ({"hosts": ["a", "a"], "host_index": "0"}, "two of a a are the same"),
        ({"hosts": ["a", "b:x"], "host_index": "0"}, "'b:x' is not a host"),
    ],
)
def test_bad_hosts(flags, says):
    with pytest.raises(ValueError, match=says):
        plan(launch_settings(**flags), {})


def test_launch_runs_train_alone():
    with pytest.raises(ValueError, match="launch runs train, not 'predict'"):
        resolve("launch", {"command": ["predict"]})


def test_free_ports_are_free_and_so_are_the_next_ones():
    for port in free_ports(3):
        for number in (port, port + 1):
            with socket.socket() as one:
                one.bind(("127.0.0.1", number))
