"""The command line: argument parser, dispatch to one command, exit codes.

0: success. 1: partial success, a comparison that failed, or a bug in mmnet. 2: bad input, one
message on stderr. 75: a process of a training was lost. 130: Ctrl-C. 143: SIGTERM.
"""

import argparse
import contextlib
import dataclasses
import errno
import logging
import os
import sys
import traceback
import warnings
from typing import Any, Dict, List, Optional, Set

from mmnet import __version__
from mmnet.commands import COMMANDS, RENAMED_COMMANDS, flag_types, load_command
from mmnet.commands.options import REQUIRED
from mmnet.commands.presets import resolve, suggestion
from mmnet.commands.removed import check_not_removed
from mmnet.io.errors import ERRORS, MmnetError, shorten_message
from mmnet.io.files import SEPARATOR
from mmnet.io.lazy import lazy_import
from mmnet.io.terminal import escape_controls, escape_output
from mmnet.tf.compat import is_out_of_memory

humanfriendly = lazy_import("humanfriendly")

METAVARS: Dict[Any, str] = {  # type of a flag, or of its value -> placeholder in --help
    flag_types.size_in_bytes: "BYTES",
    flag_types.timespan: "TIME",
    float: "X",
    int: "N",
}

INTRODUCTION = """\
mmnet cuts people out of photos and clips with a network of 0.2 M parameters. Start with:

  mmnet predict PHOTO_CLIP_OR_FOLDER --output cutouts
  mmnet evaluate --dataset_path DATASET --as_photos
  mmnet train --dataset_path DATASET --train_dir RUN

mmnet COMMAND --help shows the flags of a command. The commands:
"""

log = logging.getLogger("mmnet")


def main(argv: Optional[List[str]] = None) -> int:
    """Run a command line and return its exit code."""
    prepare_output()
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv[: argv.index("--") if "--" in argv else len(argv)]
    command = None
    try:
        if "_ARGCOMPLETE" in os.environ:
            load_command("completion").complete_command_line()
        if not argv or argv[0] in ("-h", "--help"):
            print(INTRODUCTION)
            for name, text in COMMANDS.items():
                print(f"  {name:16}  {text}")
            return 0
        if argv[0] == "--version":
            print(f"mmnet {__version__}")
            return 0
        command = find_command(argv[0])
        options = parse_options(command, argv[1:])
        exit_code = load_command(command).run(options)
        sys.stdout.flush()
        return exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of stdout has ended, for example `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        message = user_message(error)
        if debug or message is None:
            traceback.print_exc()
        if message is not None:
            return fail(command, message)
        sys.stderr.write("mmnet: this is a bug in mmnet; please report it with the lines above\n")
        return 1


def user_message(error: BaseException) -> Optional[str]:
    """Return the message for an error of the user or the system, or None for a bug in mmnet."""
    if isinstance(error, MmnetError):
        if error.parameter is not None:
            return f"--{error.parameter}: {error.message}"
        return str(error)
    if is_out_of_memory(error):
        return f"not enough memory ({str(error)[:200] or 'no details'})"
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC and error.filename is None:
            return "no space left on the device of stdout or of a result"
        return str(error)
    return None


def fail(command: Optional[str], message: str) -> int:
    """Print an error as one line and return the exit code for bad input."""
    name = "mmnet" if command is None else f"mmnet {command}"
    line = f"{name}: error: {shorten_message(' '.join(message.split()))}\n"
    try:  # mmnet launch prints the errors of its processes
        os.write(int(os.environ[ERRORS]), line.encode("utf-8", "backslashreplace"))
    except (KeyError, ValueError, OSError):
        with contextlib.suppress(OSError):  # stderr may be closed; the exit code remains
            sys.stderr.write(line)
            sys.stderr.flush()
    return 2


def find_command(name: str) -> str:
    """Return the current name of a command. MmnetError: there is no such command."""
    if name in RENAMED_COMMANDS:
        log.warning("%s is deprecated; use mmnet %s", name, RENAMED_COMMANDS[name])
        return RENAMED_COMMANDS[name]
    if name not in COMMANDS:
        hint = suggestion(name, COMMANDS) or f"; commands: {', '.join(COMMANDS)}"
        raise MmnetError(f"unknown command {name}{hint}")
    return name


def parse_options(command: str, argv: List[str]) -> Any:
    """Parse the arguments of a command to its checked options."""
    parser = make_parser(command)
    namespace, rest = parser.parse_known_args(join_sources(command, use_underscores(argv)))
    for word in rest:
        if word.startswith("--"):
            flag = word.partition("=")[0]
            check_not_removed(flag[2:], where=flag)
            known = [name for action in parser._actions for name in action.option_strings]
            raise MmnetError(f"unknown flag {flag}{suggestion(flag, known)}")
    if rest:
        raise MmnetError(f"unexpected argument {rest[0]}")
    flags = vars(namespace)  # only flags that were given
    flags.pop("debug", None)
    preset = flags.pop("config", None)
    return resolve(command, flags, preset)


def use_underscores(argv: List[str]) -> List[str]:
    """Replace hyphens in flag names: --split-ratio is --split_ratio. Stop at a bare --."""
    end = argv.index("--") if "--" in argv else len(argv)
    words = []
    for word in argv[:end]:
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            flag = "--" + flag[2:].replace("-", "_")
        words.append(flag + equals + value)
    return words + argv[end:]


def join_sources(command: str, argv: List[str]) -> List[str]:
    """Replace several sources after a flag that accepts them by one word: A B is "A + B".

    Words that are no source, for example photos, stay separate arguments.
    """
    fields = dataclasses.fields(load_command(command).Options)
    flags = {f"--{field.name}" for field in fields if field.metadata["join"]}
    flags |= {f"--{field.metadata['alias']}" for field in fields if field.metadata["join"]}
    words: List[str] = []
    is_joined = False
    for word in argv:
        is_joined = is_joined and not word.startswith("-") and flag_types.is_source(word)
        if is_joined and words[-1] not in flags:
            words[-1] += SEPARATOR + word
        else:
            is_joined = is_joined or word in flags
            words.append(word)
    return words


def prepare_output() -> None:
    """Replace closed standard streams, and send the logger ``mmnet``, and only it, to stderr.

    Control characters, and characters that a stream cannot encode, are escaped.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller; the next opened file would take its descriptor
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))
    escape_output()
    logging.raiseExceptions = False  # stderr may be closed or full
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(escape_arguments)
    handler.addFilter(RepeatedWarnings().is_new)
    handler.setFormatter(logging.Formatter("mmnet: %(message)s"))
    log.handlers = [handler]
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata that nothing reads
    log.setLevel(logging.INFO)


def escape_arguments(record: logging.LogRecord) -> bool:
    """Keep the names and errors in a log record short and on its line."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            escape_controls(shorten_message(str(value)))
            if isinstance(value, (str, Exception))
            else value
            for value in record.args
        )
    return True


class RepeatedWarnings:
    """Filter of log records that drops a warning which was logged before."""

    def __init__(self) -> None:
        self._texts: Set[str] = set()

    def is_new(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        text = record.getMessage()
        is_new = text not in self._texts
        self._texts.add(text)
        return is_new


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises MmnetError."""

    def error(self, message):
        raise MmnetError(message)


def make_parser(command: str) -> Parser:
    """Return the parser of one command. Flags that are not given leave no trace."""
    options_class = load_command(command).Options
    parser = Parser(
        prog=f"mmnet {command}",
        description=(options_class.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    fields = dataclasses.fields(options_class)
    required = [field for field in fields if field.default is REQUIRED]
    optional = [field for field in fields if field.default is not REQUIRED]
    headings = dict.fromkeys(field.metadata["group"] for field in optional)
    groups = {heading: parser.add_argument_group(heading) for heading in ["required", *headings]}
    usage = [parser.prog]
    for field in required:
        action = add_flag(groups["required"], field)
        usage += [*action.option_strings, str(action.metavar)]
        usage += ["..."] if action.nargs == "+" else []
    for field in optional:
        add_flag(groups[field.metadata["group"]], field)
    parser.usage = " ".join(usage + ["[flags]"])
    general = parser.add_argument_group("general")
    general.add_argument("-h", "--help", action="help", help="show this help and exit")
    general.add_argument(
        "--config", metavar="PRESET", help="preset: a name or a YAML file; flags override it"
    )
    general.add_argument("--debug", action="store_true", help="show the traceback of every error")
    return parser


def add_flag(parser: Any, field: dataclasses.Field) -> argparse.Action:
    """Add the flag of an options field, with its alias and its old name."""
    parse, nargs = field.metadata["parse"], field.metadata["nargs"]
    arguments: Dict[str, Any] = {"default": argparse.SUPPRESS, "help": help_text(field)}
    if parse is flag_types.switch:
        arguments.update(action="store_const", const="true")
    else:
        arguments.update(nargs=nargs, metavar=metavar(field))
    if field.metadata["positional"]:
        if nargs is None and field.default is not REQUIRED:
            arguments["nargs"] = "?"
        return parser.add_argument(field.name, **arguments)
    action = parser.add_argument("--" + field.name, **arguments)
    other_names = {"alias": f"same as --{field.name}", "old_name": argparse.SUPPRESS}
    for key, text in other_names.items():
        if field.metadata[key]:
            parser.add_argument("--" + field.metadata[key], **dict(arguments, help=text))
    return action


def metavar(field: dataclasses.Field) -> Any:
    """Return the placeholder of a flag's value in --help."""
    parse = field.metadata["parse"]
    if field.metadata["nargs"] == 2:
        return "HEIGHT", "WIDTH"
    if hasattr(parse, "choices") and not field.metadata["positional"]:
        return "{" + ",".join(parse.choices) + "}"
    value_type = getattr(parse, "__annotations__", {}).get("return")
    name = field.name.rpartition("_")[2].upper()
    return METAVARS.get(parse) or METAVARS.get(value_type, name)


def help_text(field: dataclasses.Field) -> str:
    """Return the help of a flag, with its default."""
    text, default = field.metadata["help"].replace("%", "%%"), field.default
    parse = field.metadata["parse"]
    if default in (REQUIRED, None, ()) or parse is flag_types.switch:
        return text
    if parse is flag_types.size_in_bytes:
        default = humanfriendly.format_size(default, binary=True)
    values = default if isinstance(default, tuple) else (default,)
    return f"{text} (default: {' '.join(map(str, values))})"
