"""From flags and presets to settings. No TensorFlow.

The order of precedence is flag, preset, default. A preset may serve several verbs, so it may hold
any verb's settings; a name that no verb knows is an error.
"""

import contextlib
import dataclasses
import difflib
import os

import yaml

from mmnet.config.settings import NEEDED, VERBS, NetworkSettings
from mmnet.files import read_text
from mmnet.network import said_in
from mmnet.records import shown
from mmnet.weights.find import find_source

RUN_FILE = "config.yaml"  # the settings of a run, in its train_dir
SIDES = ("size", "shape")  # two settings that say one thing
LONGEST_PRESET = 100000  # characters


def resolve(verb, flags, preset=None):
    """The settings of a verb, checked.

    Args:
        verb: a key of VERBS. flags: name -> text or list of texts, what the user gave.
        preset: name or path of a preset.

    Raises:
        FileNotFoundError: a preset or a path that is not there. ValueError: an unknown, ill-typed
            or missing setting, or some that do not go together; says which and where.
    """
    fields = {field.name: field for field in dataclasses.fields(VERBS[verb])}
    aliases = {field.metadata["alias"]: name for name, field in fields.items()}
    values = {}
    if preset is not None:
        preset = find_preset(preset)
        for name, value in read_preset(preset).items():
            name = aliases.get(name, name)
            if name in fields:
                values[name] = convert(fields[name], value, "%s: %s" % (preset, name))
    if flags.keys() & set(SIDES):  # a flag wins over a preset that says it in the other way
        for name in SIDES:
            values.pop(name, None)
    for given, value in flags.items():
        name = aliases.get(given, given)
        if name != given and name in flags:
            raise ValueError("--%s and --%s are one setting: give one of them" % (name, given))
        values[name] = convert(fields[name], value, "--" + given)
    for name, field in fields.items():
        if field.default is NEEDED and name not in values:
            raise ValueError("--%s is needed: %s" % (name, field.metadata["about"]))
    settings = VERBS[verb](**values)
    settings.check()
    return settings


def presets_folder():
    """Where the presets lie: beside the package in a checkout, inside it where it is installed."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    inside = os.path.join(package, "configs")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "configs")


def list_presets():
    """Names of the presets that come with mmnet."""
    folder = presets_folder()
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name[: -len(".yaml")] for name in names if name.endswith(".yaml"))


def find_preset(name):
    """The path of a preset: of a file, or of one that comes with mmnet, by its name.

    Raises:
        FileNotFoundError: neither.
    """
    if os.path.exists(name) and not os.path.isdir(name):
        return name
    known = list_presets()
    stem = os.path.basename(name)
    stem = stem[: -len(".yaml")] if stem.endswith(".yaml") else stem
    if stem in known:
        return os.path.join(presets_folder(), stem + ".yaml")
    near = difflib.get_close_matches(stem, known, 1)
    hint = "; did you mean %r?" % near[0] if near else "; presets: %s" % ", ".join(known)
    raise FileNotFoundError("--config: no preset %s%s" % (name or "of an empty name", hint))


def network_of_run(prefix):
    """What the run of a checkpoint (its prefix) says of its network: fields of Network."""
    return network_in(os.path.join(os.path.dirname(prefix), RUN_FILE))


def network_in(path):
    """What a RUN_FILE says of its network; nothing where there is no such file."""
    if not os.path.exists(path):
        return {}
    given = read_preset(path)
    fields = {field.name: field for field in dataclasses.fields(NetworkSettings)}
    return said_in(
        {
            name: convert(fields[name], given[name], "%s: %s" % (path, name))
            for name in fields.keys() & given.keys()
        }
    )


def network_of_training(settings):
    """Fields of the Network that train's settings mean: flags, the run itself, its warm start."""
    said = {}
    if settings.checkpoint_path:
        with contextlib.suppress(FileNotFoundError):  # a run that goes on needs its parent no more
            said = network_of_run(find_source(settings.checkpoint_path).path)
    said = dict(said, **network_in(os.path.join(settings.train_dir, RUN_FILE)))
    return dict(said, **settings.wanted())


class PresetLoader(yaml.SafeLoader):
    """YAML without aliases, which can stand for more than any memory holds."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError("an alias (*name) in line %d" % (mark.line + 1))
        return super().compose_node(parent, index)


def read_preset(path):
    """The settings in a YAML file: name -> value as YAML reads it. A null is as good as absent."""
    contents = read_text(path)
    if len(contents) > LONGEST_PRESET:
        raise ValueError(
            "%s holds %d characters: a preset is a short file of settings" % (path, len(contents))
        )
    try:
        values = yaml.load(contents, Loader=PresetLoader) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError("%s is not YAML of plain settings: %s" % (path, reason)) from None
    if not isinstance(values, dict):
        raise ValueError("%s: a preset is lines of 'name: value'" % path)
    known = set()
    for verb in VERBS.values():
        for field in dataclasses.fields(verb):
            known |= {field.name, field.metadata["alias"]}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), filter(None, known), 1)
            hint = "; did you mean %r?" % near[0] if near else ""
            raise ValueError("%s: no setting is named %s%s" % (path, shown(name), hint))
    return {name: value for name, value in values.items() if value is not None}


def to_yaml(settings):
    """All the settings of a verb as a preset."""
    return _dump(dataclasses.asdict(settings))


def run_settings(settings, network):
    """Train's settings with its network written out, so that later verbs know it."""
    return dataclasses.replace(settings, **_flags_of(network))


def network_yaml(network):
    """A RUN_FILE that says of a run which network it trains, and no more."""
    flags = _flags_of(network)
    return _dump({name: value for name, value in flags.items() if value is not None})


def _dump(values):
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }
    return yaml.safe_dump(values, sort_keys=False)


def _flags_of(network):
    """A Network as NetworkSettings say it."""
    square = network.shape[0] == network.shape[1]
    return {
        "network": network.name,
        "width_multiplier": network.width_multiplier,
        "size": network.shape[0] if square else None,
        "shape": None if square else network.shape,
        "channels": None if network.channels == 3 else network.channels,
    }


def convert(field, value, where):
    """A value of the field's type.

    Everything goes through text: YAML 1.1 takes 1e-4 for a string anyway. One value will do for a
    list.
    """
    kind, count = field.metadata["kind"], field.metadata["count"]
    many = isinstance(value, (list, tuple))
    if count in ("+", "*") and not many:
        many, value = True, [value]
    if many != (count is not None) or (isinstance(count, int) and len(value) != count):
        expected = "%s values" % count if isinstance(count, int) else "a list"
        raise ValueError(
            "%s: %s, not %s" % (where, "one value" if count is None else expected, shown(value))
        )
    values = [str(one) for one in value] if many else [str(value)]
    try:
        if not all(one.strip() for one in values):
            raise ValueError("it is empty (a shell variable that is not set?)")
        converted = tuple(kind(one) for one in values)
    except ValueError as error:
        raise ValueError("%s: %s" % (where, error)) from None
    return converted if many else converted[0]
