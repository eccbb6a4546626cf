"""Our own JSON, read back: a typed record in, a clear error out. No TensorFlow."""

import typing

import yaml

from mmnet.io.errors import MmnetError, shorten
from mmnet.io.files import read_json, read_text


def read_record(path, kind):
    """A JSON file as a ``kind``, a NamedTuple whose annotations say what its fields hold.

    Fields with a default may be absent; what ``kind`` does not know is passed over, for a later
    version may have written it.

    Raises:
        FileNotFoundError: no such file. ValueError: anything else than such a record; names the
            file and the field.
    """
    return to_record(read_json(path), kind, path)


def to_record(value, kind, where):
    """A dict as a ``kind``; ``where`` is what errors call it."""
    if not isinstance(value, dict):
        raise MmnetError("%s is %s, not an object" % (where, shorten(value)))
    hints = typing.get_type_hints(kind)
    defaults = getattr(kind, "_field_defaults", {})
    fields = {}
    for name in kind._fields:
        if name in value:
            fields[name] = _typed(value[name], hints[name], "%s: %s" % (where, name))
        elif name not in defaults:
            raise MmnetError("%s lacks %s" % (where, name))
    return kind(**fields)


def _typed(value, hint, where):
    """``value`` where it is what an annotation says, lists as tuples where that says so."""
    origin, inner = getattr(hint, "__origin__", None), getattr(hint, "__args__", ()) or ()
    if origin is typing.Union:
        if value is None and type(None) in inner:
            return None
        return _typed(value, next(one for one in inner if one is not type(None)), where)
    if hasattr(hint, "_fields"):
        return to_record(value, hint, where)
    if origin in (list, typing.List, tuple, typing.Tuple):
        return _items(value, origin, inner, where)
    if origin in (dict, typing.Dict) or hint is dict:
        if not isinstance(value, dict):
            raise MmnetError("%s is %s, not an object" % (where, shorten(value)))
        if len(inner) == 2 and not isinstance(inner[1], typing.TypeVar):
            return {key: _typed(value[key], inner[1], "%s: %s" % (where, key)) for key in value}
        return value
    if hint is typing.Any:
        return value
    return _plain(value, hint, where)


def _items(value, origin, inner, where):
    if not isinstance(value, list):
        raise MmnetError("%s is %s, not a list" % (where, shorten(value)))
    is_tuple = origin in (tuple, typing.Tuple)
    if is_tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise MmnetError("%s has %d items, not %d" % (where, len(value), len(inner)))
        kinds = inner
    else:
        kinds = inner[:1] * len(value) if inner else (typing.Any,) * len(value)
    items = [
        _typed(one, kind, "%s[%d]" % (where, number))
        for number, (one, kind) in enumerate(zip(value, kinds))
    ]
    return tuple(items) if is_tuple else items


def _plain(value, hint, where):
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise MmnetError("%s is %s, not %s" % (where, shorten(value), hint.__name__))
    return value


MAX_YAML_LENGTH = 100000  # characters


class PlainLoader(yaml.SafeLoader):
    """A YAML loader that rejects aliases, because a few aliases can expand to gigabytes."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError(f"an alias (*name) in line {mark.line + 1}")
        return super().compose_node(parent, index)


def read_yaml(path):
    """Read a YAML file of ``name: value`` lines.

    Returns:
        dict, name -> value.

    Raises:
        FileNotFoundError: no such file.
        MmnetError: the file is too long, not YAML, or not a mapping.
    """
    contents = read_text(path)
    if len(contents) > MAX_YAML_LENGTH:
        raise MmnetError(f"{path}: {len(contents)} characters, expected at most {MAX_YAML_LENGTH}")
    try:
        values = yaml.load(contents, Loader=PlainLoader) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MmnetError(f"{path}: not YAML: {reason}") from None
    if not isinstance(values, dict):
        raise MmnetError(f"{path}: expected lines of the form 'name: value'")
    return values
