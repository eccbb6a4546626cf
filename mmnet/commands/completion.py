"""The completion verb: what makes a shell complete verbs, flags and names."""

import dataclasses

import argcomplete

from mmnet.commands.flag_types import one_of
from mmnet.commands.options import REQUIRED, BaseOptions, flag


@dataclasses.dataclass(frozen=True)
class Options(BaseOptions):
    """Make a shell complete verbs, flags, presets and weights by name.

    bash, zsh: put ``eval "$(mmnet completion bash)"`` into ~/.bashrc or ~/.zshrc (zsh). fish:
    ``mmnet completion fish > ~/.config/fish/completions/mmnet.fish``.
    """

    shell: str = flag(
        REQUIRED, one_of("bash", "zsh", "fish"), help="bash, zsh or fish", positional=True
    )


def run(options):
    print(argcomplete.shellcode(["mmnet"], shell=options.shell))
    return 0
