"""The launch verb."""

import dataclasses
from typing import Optional, Tuple

from mmnet.commands.flag_types import port_number, positive_int, whole_number
from mmnet.commands.options import REQUIRED, BaseOptions, flag
from mmnet.distributed.launch import launch
from mmnet.distributed.members import PORT, plan
from mmnet.io.errors import MmnetError


@dataclasses.dataclass(frozen=True)
class Options(BaseOptions):
    """Train with several processes: mmnet launch --processes 2 -- train ...

    Each computes gradients of its part of every batch, and all move by their mean: as one process
    would with the whole batch. On one machine; or on several, where the same command runs on each
    and --hosts, TF_CONFIG or Slurm says which there are. Where a process dies or stands still, all
    end within half a minute, with a line that names it.
    """

    command: Tuple[str, ...] = flag(
        REQUIRED,
        help="what each process runs, after --: train and its flags",
        nargs="+",
        positional=True,
    )
    processes: int = flag(1, positive_int, help="on each machine: one a GPU or chip, usually")
    hosts: Optional[Tuple[str, ...]] = flag(
        None,
        help="the machines, HOST or HOST:PORT, the same list on each (default: TF_CONFIG's or Slurm's, "
        "or this one alone)",
        nargs="+",
    )
    host_index: Optional[int] = flag(
        None,
        whole_number,
        help="which of them this is, from 0 (default: Slurm's, Kubernetes's, or by its name)",
    )
    port: int = flag(
        PORT, port_number, help="of several machines: the first that each listens on; two a process"
    )
    restarts: int = flag(
        0, whole_number, help="after a failure, start again from the last checkpoint, so many times"
    )

    def check(self):
        super().check()
        if self.command[0] != "train":
            raise MmnetError(
                "launch runs train, not %r (predict and evaluate take --shard I/N instead)"
                % self.command[0]
            )


def run(options):
    return launch(plan(options), options)
