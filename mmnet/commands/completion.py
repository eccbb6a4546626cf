"""`mmnet completion`: complete commands, flags and names in the shell."""

import argparse
import dataclasses
import os
from typing import Iterable

import argcomplete
from argcomplete.exceptions import ArgcompleteException

from mmnet.cli import make_parser
from mmnet.commands import COMMANDS, load_command
from mmnet.commands.flag_types import one_of
from mmnet.commands.options import REQUIRED, BaseOptions, flag
from mmnet.commands.presets import list_presets
from mmnet.io.errors import MmnetError
from mmnet.weights.registry import UNTRAINED, read_registry

NAMED_WEIGHTS = ("checkpoint_path", "model", "teacher", "models", "path", "names")


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


def complete_command_line() -> None:
    """Print completions for the shell, which calls mmnet with the words so far, and exit."""
    words = os.environ.get("COMP_LINE", "").split()
    top = argparse.ArgumentParser(prog="mmnet", add_help=False)
    if len(words) > 1 and words[1] in COMMANDS:
        parser = make_parser(words[1])
        add_completers(parser, words[1])
        subparsers = top.add_subparsers(parser_class=lambda **_: parser)  # type: ignore
        subparsers.add_parser(words[1])
    else:
        set_completer(top.add_argument("command"), COMMANDS)
        top.add_argument("--help", action="help")
        top.add_argument("--version", action="version")
    try:
        argcomplete.autocomplete(top, always_complete_options="long")
    except (ValueError, KeyError, ArgcompleteException) as error:
        raise MmnetError(
            f"COMP_LINE, COMP_POINT: must be set by a shell that completes a command ({error})"
        ) from None


def add_completers(parser: argparse.ArgumentParser, command: str) -> None:
    """Let the shell complete flags by choices, or by files and names of weights or presets."""
    parse = {}
    for field in dataclasses.fields(load_command(command).Options):
        parse[field.name] = parse[field.metadata["alias"]] = field.metadata["parse"]
    for action in parser._actions:
        choices = getattr(parse.get(action.dest), "choices", None)
        if choices:
            set_completer(action, choices)
        elif action.dest in NAMED_WEIGHTS:
            set_completer(action, [*read_registry(), UNTRAINED], files=True)
        elif action.dest == "config":
            set_completer(action, list_presets(), files=True)


def set_completer(action: argparse.Action, names: Iterable[str], *, files: bool = False) -> None:
    """Complete an argument by names, and by files if ``files`` is true."""

    def completer(prefix, **_):
        paths = argcomplete.FilesCompleter()(prefix) if files else []
        return [*paths, *names]

    action.completer = completer  # type: ignore[attr-defined]
