"""The command line: flags, dispatch to one verb module, exit codes.

0: done. 1: done in part (predict), a model that differs from its checkpoint (freeze, export,
parity), a checkpoint that is not well (selfcheck). 2: bad input, one line on stderr. 75: a process
of a training by several was lost (launch). 130: Ctrl-C.
"""

import argparse
import contextlib
import dataclasses
import errno
import importlib
import logging
import os
import sys

import argcomplete
from humanfriendly import format_size

from mmnet import __version__
from mmnet.config import kinds
from mmnet.config.resolve import list_presets, resolve
from mmnet.config.settings import NEEDED, VERBS
from mmnet.weights.registry import UNTRAINED, read_registry

METAVARS = {
    kinds.positive_int: "N",
    kinds.positive_ints: "N,N",
    kinds.whole_number: "N",
    kinds.seed_number: "N",
    kinds.port_number: "N",
    kinds.network_side: "PIXELS",
    kinds.positive_float: "X",
    kinds.not_negative: "X",
    kinds.decay: "X",
    kinds.timespan: "TIME",
    kinds.size_in_bytes: "BYTES",
}

FIRST = """\
mmnet cuts persons out of pictures, with a network of 0.2 M parameters. What most people want:

  mmnet predict PHOTO_CLIP_OR_FOLDER --output cutouts
  mmnet evaluate --dataset_path DATASET --as_photos
  mmnet train --dataset_path DATASET --train_dir RUN

mmnet --help lists all that it does, mmnet VERB --help the flags of one, and mmnet doctor says what
is installed."""

log = logging.getLogger("mmnet")


def main(argv=None):
    prepare_streams()
    argv = sys.argv[1:] if argv is None else argv
    if "_ARGCOMPLETE" in os.environ:  # a shell asks
        argcomplete.autocomplete(make_parser(), always_complete_options="long")
    if not argv:
        print(FIRST)
        return 0
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="mmnet: %(message)s")
    verb = "mmnet"
    try:
        verb, flags = parsed(argv)
        settings = resolve(verb, flags, flags.pop("config", None))
        if verb == "launch":  # what is wrong with its command is said once, not by each process
            launched, flags = parsed(settings.command)
            resolve(launched, flags, flags.pop("config", None))
        code = importlib.import_module("mmnet.verbs." + verb).run(settings)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer has nowhere to go
        return 1
    except (ValueError, OSError) as error:
        log.debug("", exc_info=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            error = "standard output or a result cannot be written: no space is left"
        return fail(verb, error)
    except Exception as error:
        # TensorFlow's own class is not named here: this file does not import it.
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            return fail(verb, "not enough memory or disk (%s)" % (str(error)[:200] or "no details"))
        raise


def parsed(argv):
    """(verb, its flags: name -> text or list of texts) of a command's words."""
    flags = vars(make_parser().parse_args(underscored(list(argv))))
    return flags.pop("verb"), flags


def underscored(argv):
    """Words with --split-ratio as --split_ratio, for who writes flags so; none after a bare --."""
    end = argv.index("--") if "--" in argv else len(argv)
    words = []
    for word in argv[:end]:
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            flag = "--" + flag[2:].replace("-", "_")
        words.append(flag + equals + value)
    return words + argv[end:]


def prepare_streams():
    """Make standard streams that cannot end good work: closed ones, and names of any letters."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by who started us; the next file opened would take its place
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # a log that cannot be written is no reason to say more


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        sys.exit(fail(self.prog, message))


def fail(who, message):
    who = who if who.startswith("mmnet") else "mmnet " + who
    with contextlib.suppress(OSError):  # the exit code still tells
        sys.stderr.write("%s: error: %s\n" % (who, " ".join(str(message).split())))
        sys.stderr.flush()
    return 2


def make_parser():
    description = "Portrait matting in real time on small devices."
    parser = Parser(prog="mmnet", description=description)
    parser.add_argument("--version", action="version", version="mmnet " + __version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    verbs.required = True
    for name, settings in VERBS.items():
        verb = verbs.add_parser(
            name,
            description=settings.__doc__,
            help=settings.__doc__.splitlines()[0],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        preset = verb.add_argument(
            "--config",
            metavar="PRESET",
            default=argparse.SUPPRESS,
            help="a preset: its name, or a YAML file; a flag beside it wins",
        )
        preset.completer = names_and_files(list_presets)
        fields = dataclasses.fields(settings)
        for field in sorted(fields, key=lambda field: field.default is not NEEDED):
            add_flag(verb, field)
    return parser


def add_flag(parser, field):
    """A flag that leaves no trace where it is not given, so that a preset or the default speaks."""
    kind, count = field.metadata["kind"], field.metadata["count"]
    options = {"default": argparse.SUPPRESS, "help": help_of(field)}
    if kind is kinds.switch:
        options.update(action="store_const", const="true")
    else:
        metavar = METAVARS.get(kind, field.name.rpartition("_")[2].upper())
        options.update(nargs=count, metavar=("HEIGHT", "WIDTH") if count == 2 else metavar)
    if field.metadata["positional"]:
        if count is None and field.default is not NEEDED:
            options["nargs"] = "?"
        complete(parser.add_argument(field.name, **options), field)
        return
    complete(parser.add_argument("--" + field.name, **options), field)
    if field.metadata["alias"]:  # resolve knows what it stands for
        options["help"] = "the same as --" + field.name
        complete(parser.add_argument("--" + field.metadata["alias"], **options), field)


def complete(action, field):
    """What a shell offers for a flag: its choices, or weights by name; else files."""
    kind = field.metadata["kind"]
    if hasattr(kind, "choices"):
        action.completer = argcomplete.ChoicesCompleter(kind.choices)
    elif field.name in ("checkpoint_path", "teacher", "models", "path", "names"):
        action.completer = names_and_files(lambda: list(read_registry()) + [UNTRAINED])


def names_and_files(names):
    """A completer of names, which ``names()`` lists, and of files."""

    def completer(prefix, **_):
        return argcomplete.FilesCompleter()(prefix) + names()

    return completer


def help_of(field):
    """What --help prints of a setting, its default included."""
    about, kind = field.metadata["about"].replace("%", "%%"), field.metadata["kind"]
    if field.default is NEEDED:
        return about if field.metadata["positional"] else about + " (needed)"
    if field.default is None or field.default is False or field.default == ():
        return about
    shown = field.default if isinstance(field.default, tuple) else (field.default,)
    if kind is kinds.size_in_bytes:
        shown = [format_size(value, binary=True) for value in shown]
    return about + " (default: %s)" % " ".join(map(str, shown))
