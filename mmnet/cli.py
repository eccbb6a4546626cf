"""The command line: flags, dispatch to one verb module, exit codes.

0: done. 1: done in part (predict), a model that differs from its checkpoint (freeze, export,
parity), a checkpoint that is not well (selfcheck). 2: bad input, one line on stderr. 130: Ctrl-C.
"""

import argparse
import dataclasses
import importlib
import logging
import sys

from humanfriendly import format_size

from mmnet import __version__
from mmnet.config import kinds
from mmnet.config.resolve import resolve
from mmnet.config.settings import NEEDED, VERBS

METAVARS = {
    kinds.positive_int: "N",
    kinds.positive_ints: "N,N",
    kinds.whole_number: "N",
    kinds.seed_number: "N",
    kinds.network_side: "PIXELS",
    kinds.positive_float: "X",
    kinds.not_negative: "X",
    kinds.decay: "X",
    kinds.timespan: "TIME",
    kinds.size_in_bytes: "BYTES",
}

log = logging.getLogger("mmnet")


def main(argv=None):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="mmnet: %(message)s")
    verb = "mmnet"
    try:
        flags = vars(make_parser().parse_args(argv))
        verb = flags.pop("verb")
        settings = resolve(verb, flags, flags.pop("config", None))
        return importlib.import_module("mmnet.verbs." + verb).run(settings)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 1
    except (ValueError, OSError) as error:
        log.debug("", exc_info=True)
        return fail(verb, error)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        sys.exit(fail(self.prog, message))


def fail(who, message):
    who = who if who.startswith("mmnet") else "mmnet " + who
    sys.stderr.write("%s: error: %s\n" % (who, " ".join(str(message).split())))
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
        verb.add_argument(
            "--config",
            metavar="PRESET",
            default=argparse.SUPPRESS,
            help="a preset: its name, or a YAML file; a flag beside it wins",
        )
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
        parser.add_argument(field.name, **options)
        return
    names = ["--" + name for name in (field.name, field.metadata["alias"]) if name]
    parser.add_argument(*names, **options)


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
