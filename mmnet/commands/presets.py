"""From flags and presets to the options of a command.

A flag overrides a preset, and a preset overrides the default. A preset may serve several commands,
so it may contain options of any command. A name that no command knows is an error.
"""

import dataclasses
import difflib
import logging
import os
from typing import Any, Dict, List, Optional, Set

from mmnet.commands import COMMANDS, load_command
from mmnet.commands.options import REQUIRED
from mmnet.commands.removed import check_not_removed, is_old_default
from mmnet.io.errors import MmnetError, shorten
from mmnet.io.files import SEPARATOR
from mmnet.io.lazy import lazy_import

yaml_files = lazy_import("mmnet.io.yaml_files")

EXCLUSIVE = ("size", "shape")  # two flags for one value

log = logging.getLogger(__name__)


def resolve(command: str, flags: Dict[str, Any], preset: Optional[str] = None) -> Any:
    """Return the checked options of a command.

    Args:
        flags: name -> text or list of texts, as the user gave them.
        preset: name or path of a preset.
    """
    options_class = load_command(command).Options
    fields = {field.name: field for field in dataclasses.fields(options_class)}
    aliases: Dict[Optional[str], str] = {}  # other name of a flag -> name
    for field in fields.values():
        aliases[field.metadata["alias"]] = aliases[field.metadata["old_name"]] = field.name
    values = {}
    if preset is not None:
        path = find_preset(preset)
        for name, value in read_preset(path).items():
            own_name = aliases.get(name, name)
            if own_name in fields:  # other options belong to other commands
                values[own_name] = convert(fields[own_name], value, f"{path}: {name}")
    if flags.keys() & set(EXCLUSIVE):  # a flag also overrides the other way to give its value
        for name in EXCLUSIVE:
            values.pop(name, None)
    for flag, value in flags.items():
        name = aliases.get(flag, flag)
        if name != flag and name in flags:
            raise MmnetError(f"--{name} and --{flag}: are the same flag; give one of them")
        if flag == fields[name].metadata["old_name"]:
            log.warning("--%s is deprecated; use --%s", flag, name)
        prefix = "" if fields[name].metadata["positional"] else "--"
        values[name] = convert(fields[name], value, prefix + flag)
    for name, field in fields.items():
        if field.default is REQUIRED and name not in values:
            prefix = "" if field.metadata["positional"] else "--"
            raise MmnetError(f"{prefix}{name}: is required ({field.metadata['help']})")
    options = options_class(**values)
    options.check()
    return options


def presets_folder() -> str:
    """Return the folder of the presets: configs/ of the checkout, or its copy in the wheel."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    inside = os.path.join(package, "configs")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "configs")


def list_presets() -> List[str]:
    """Return the names of the presets that come with mmnet."""
    folder = presets_folder()
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name[: -len(".yaml")] for name in names if name.endswith(".yaml"))


def find_preset(name: str) -> str:
    """Return the path of a preset: a file, or a preset of mmnet by name."""
    if os.path.exists(name) and not os.path.isdir(name):
        return name
    presets = list_presets()
    stem = os.path.basename(name)
    stem = stem[: -len(".yaml")] if stem.endswith(".yaml") else stem
    if stem in presets:
        return os.path.join(presets_folder(), stem + ".yaml")
    hint = suggestion(stem, presets) or f"; presets: {', '.join(presets)}"
    raise FileNotFoundError(f"--config {name!r}: no such preset{hint}")


def read_preset(path: str) -> Dict[str, Any]:
    """Read a preset: name -> value as YAML has it.

    A null, and the default of a flag that 0.3 removed or renamed, count as absent.
    """
    known: Set[str] = set()
    for command in COMMANDS:
        for field in dataclasses.fields(load_command(command).Options):
            known.update({field.name, field.metadata["alias"], field.metadata["old_name"]} - {None})
    values = {}
    for name, value in yaml_files.read_yaml(path).items():
        if value is None or is_old_default(name, value):
            continue
        if name not in known:
            check_not_removed(str(name), where=f"{path}: {name}")
            hint = suggestion(str(name), known)
            raise MmnetError(f"{path}: {shorten(name)}: unknown option{hint}")
        values[name] = value
    return values


def convert(field: dataclasses.Field, value: Any, where: str) -> Any:
    """Convert a text, or a value of YAML, to the type of a field. Errors start with ``where``.

    Values are converted through text, because YAML 1.1 reads 1e-4 as a string. A single value is
    accepted for a list.
    """
    parse, nargs = field.metadata["parse"], field.metadata["nargs"]
    is_list = isinstance(value, (list, tuple))
    if is_list and field.metadata["join"]:
        value, is_list = SEPARATOR.join(map(str, value)), False
    values = list(value) if is_list else [value]
    if nargs is None and is_list:
        raise MmnetError(f"{where}: expected one value, not {shorten(value)}")
    if isinstance(nargs, int) and len(values) != nargs:
        raise MmnetError(f"{where}: expected {nargs} values, not {shorten(value)}")
    converted = []
    for text in map(str, values):
        if not text.strip():
            raise MmnetError(f"{where}: is empty (a shell variable that is not set?)")
        try:
            converted.append(parse(text))
        except MmnetError as error:
            raise MmnetError(f"{where} {text[:60]}: {error}") from None
    return converted[0] if nargs is None else tuple(converted)


def suggestion(name: str, known: Any) -> str:
    """Return ``; did you mean X?`` for the most similar known name, or an empty text."""
    similar = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {similar[0]}?" if similar else ""
