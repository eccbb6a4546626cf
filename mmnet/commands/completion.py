"""`mmnet completion`: print the shell code that completes commands, flags and names."""

import dataclasses

import argcomplete

from mmnet.commands.flag_types import one_of
from mmnet.commands.options import REQUIRED, BaseOptions, flag


@dataclasses.dataclass(frozen=True)
class Options(BaseOptions):
    """Print the shell code that completes commands, flags, presets and names of weights.

    bash and zsh: add ``eval "$(mmnet completion bash)"`` (or zsh) to ~/.bashrc or ~/.zshrc. fish:
    ``mmnet completion fish > ~/.config/fish/completions/mmnet.fish``.
    """

    shell: str = flag(
        REQUIRED, one_of("bash", "zsh", "fish"), help="bash, zsh or fish", positional=True
    )


def run(options: Options) -> int:
    print(argcomplete.shellcode(["mmnet"], shell=options.shell))
    return 0
