"""`mmnet launch`: train with several processes."""

import dataclasses
from typing import Optional, Tuple

from mmnet.cli import parse_options
from mmnet.commands.flag_types import first_port, one_of, positive_int, timespan, whole_number
from mmnet.commands.options import REQUIRED, BaseOptions, flag
from mmnet.distributed.connection import SECRET, choose_secret
from mmnet.distributed.heartbeat import DEFAULT_TIMEOUT, TIMEOUT
from mmnet.distributed.launch import launch
from mmnet.distributed.members import ENGINE, ENGINES, PORT, plan_processes
from mmnet.io.errors import MmnetError


@dataclasses.dataclass(frozen=True)
class Options(BaseOptions):
    """Train with several processes: mmnet launch --processes 2 -- train ...

    Each process computes the gradients of its part of every batch, and all apply their mean, so the
    training equals that of one process with the whole batch. For several machines, run the same
    command on each of them; --hosts or TF_CONFIG lists the machines, and the environment variable
    MMNET_SECRET holds the same random text on each. If a process dies or hangs, all processes stop,
    and one line names it.
    """

    command: Tuple[str, ...] = flag(
        REQUIRED, help="after --: train and its flags", nargs="+", positional=True
    )
    processes: int = flag(1, positive_int, help="processes per machine, usually one per GPU")
    hosts: Optional[Tuple[str, ...]] = flag(
        None, nargs="+", help="all machines, HOST or HOST:PORT (default: TF_CONFIG or this machine)"
    )
    host_index: Optional[int] = flag(
        None,
        whole_number,
        help="this machine in --hosts (default: from Slurm, Kubernetes or its name)",
    )
    port: int = flag(
        PORT, first_port, help="first port of each machine; every process needs two ports"
    )
    engine: str = flag(
        "tensorflow", one_of(*ENGINES), help="library that sums gradients; hccl is for Ascend chips"
    )
    peer_timeout: float = flag(
        DEFAULT_TIMEOUT, timespan, help="stop if a process is silent or lags behind for this time"
    )
    restarts: int = flag(
        0, whole_number, help="restarts from the last checkpoint after a failure, at most"
    )

    def check(self) -> None:
        super().check()
        if self.command[0] != "train":
            raise MmnetError(
                f"{self.command[0]}: launch runs train only (predict and evaluate have --shard I/N)"
            )


def run(options: Options) -> int:
    train_options = parse_options("train", list(options.command[1:]))  # reports bad input once
    check_batch_size(train_options.batch_size, options.processes)  # before it needs their ports
    plan = plan_processes(
        options.processes,
        hosts=options.hosts or (),
        host_index=options.host_index,
        port=options.port,
    )
    check_batch_size(train_options.batch_size, len(plan.addresses))
    environ = {ENGINE: options.engine, TIMEOUT: str(options.peer_timeout)}
    environ[SECRET] = choose_secret(is_single_host=len(plan.ranks) == len(plan.addresses))
    return launch(plan, options.command, environ=environ, restarts=options.restarts)


def check_batch_size(batch_size: int, processes: int) -> None:
    """Raise MmnetError unless the processes can share a batch equally."""
    if batch_size % processes:
        raise MmnetError(
            f"--batch_size {batch_size}: must be a multiple of the number of processes, {processes}"
        )
