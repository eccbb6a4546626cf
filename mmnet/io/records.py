"""Read JSON files with type checks. No TensorFlow."""

import typing
from typing import Any, Type, TypeVar

from mmnet.io.errors import MmnetError, shorten
from mmnet.io.files import read_json

Record = TypeVar("Record")


def read_record(path: str, record_type: Type[Record]) -> Record:
    """Read a JSON file as a NamedTuple, and check each field against its type hint.

    A field with a default may be missing. Unknown fields are ignored, because a later version may
    have written them.

    Raises:
        FileNotFoundError: no such file.
        MmnetError: the file is not JSON, or a field is missing or has another type.
    """
    return to_record(read_json(path), record_type, path)


def to_record(value: Any, record_type: Type[Record], where: str) -> Record:
    """Convert a dict to a NamedTuple as ``read_record`` does. Errors start with ``where``."""
    _check_type(value, dict, where)
    defaults = getattr(record_type, "_field_defaults", {})
    fields = {}
    for name, hint in typing.get_type_hints(record_type).items():
        if name in value:
            fields[name] = _convert(value[name], hint, f"{where}: {name}")
        elif name not in defaults:
            raise MmnetError(f"{where}: {name} is missing")
    return record_type(**fields)


def _convert(value, hint, where):
    """Return a JSON value as its type hint requires: lists become tuples, dicts NamedTuples."""
    origin = getattr(hint, "__origin__", None)
    arguments = getattr(hint, "__args__", None) or ()
    if hint is Any:
        return value
    if origin is typing.Union:  # Optional
        return None if value is None else _convert(value, arguments[0], where)
    if hasattr(hint, "_fields"):
        return to_record(value, hint, where)
    if origin is list or origin is tuple:
        _check_type(value, list, where)
        hints = arguments
        if origin is list or arguments[-1] is Ellipsis:
            hints = arguments[:1] * len(value)
        if len(value) != len(hints):
            raise MmnetError(f"{where}: {len(value)} items, expected {len(hints)}")
        pairs = enumerate(zip(value, hints))
        return origin([_convert(item, hint, f"{where}[{index}]") for index, (item, hint) in pairs])
    if origin is dict:
        _check_type(value, dict, where)
        return {key: _convert(value[key], arguments[1], f"{where}: {key}") for key in value}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise MmnetError(f"{where}: {shorten(value)} is too large") from None
    _check_type(value, hint, where)
    return value


def _check_type(value, expected_type, where):
    is_wrong_bool = isinstance(value, bool) and expected_type is not bool
    if is_wrong_bool or not isinstance(value, expected_type):
        raise MmnetError(f"{where}: expected {expected_type.__name__}, not {shorten(value)}")
