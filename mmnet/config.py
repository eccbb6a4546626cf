"""Typed settings: one frozen dataclass a verb. A YAML preset and the command line fill them; no TensorFlow here.

The order of precedence is flag, preset, default. A preset may serve several verbs, so it may hold any verb's settings;
a name that no verb knows is an error.
"""
import dataclasses
import difflib
from dataclasses import dataclass
from typing import Optional, Tuple

import yaml
from humanfriendly import InvalidTimespan, parse_timespan


def positive_int(text):
    if not text.isdigit() or int(text) < 1:
        raise ValueError("a whole number above 0, not %r" % text)
    return int(text)


def whole_number(text):
    if not text.isdigit():
        raise ValueError("a whole number, 0 or more, not %r" % text)
    return int(text)


def positive_float(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("a number above 0, not %r" % text)
    return value


def network_size(text):
    if not text.isdigit() or int(text) < 32 or int(text) % 32:
        near = [round(int(text) / 32) * 32 or 32] if text.isdigit() else [128, 256]
        raise ValueError("a multiple of 32 such as %s, not %r" % (" or ".join(map(str, near)), text))
    return int(text)


def timespan(text):
    try:
        return parse_timespan(text)
    except InvalidTimespan:
        raise ValueError("a time such as 90s, 10m or 2h, not %r" % text) from None


def switch(text):
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false, not %r" % text)
    return text.lower() == "true"


def one_of(*choices):
    def choice(text):
        if text not in choices:
            raise ValueError("one of %s, not %r" % (", ".join(choices), text))
        return text
    return choice


def setting(default, kind, about, count=None):
    """A field of a settings class.

    Args:
        default: dataclasses.MISSING where the user must say it. kind: text -> value, ValueError says what would be
        right. about: for --help, with the unit. count: values it takes: None for one, a number, or "+" for a list.
    """
    return dataclasses.field(default=default, metadata={"kind": kind, "about": about, "count": count})


NEEDED = dataclasses.MISSING


@dataclass(frozen=True)
class Evaluate:
    """Score a checkpoint on a data set: MAD and gradient error at the network's size and at the target shape."""
    dataset_path: str = setting(NEEDED, str, "folder that holds SPLIT/image and SPLIT/mask")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    checkpoint_path: Optional[str] = setting(None, str, "checkpoint prefix, or a folder: its latest, or its every "
                                             "checkpoint with --valid_type loop; without it untrained weights are scored")
    valid_type: str = setting("once", one_of("once", "loop"), "once, or loop: every checkpoint of the folder, also "
                              "those that appear later; what is already scored is not computed again")
    watch_timeout: Optional[float] = setting(None, timespan, "end the loop after this time without a new checkpoint "
                                             "(90s, 10m, 2h); without it, it goes on until Ctrl-C")
    target_eval_shape: Tuple[int, int] = setting((800, 600), positive_int, "second shape to score at: height width in "
                                                 "pixels", 2)
    batch_size: int = setting(8, positive_int, "pictures in one run of the network")
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    all_metrics: bool = setting(False, switch, "also SAD, MSE, Grad, Conn and mIoU at the target shape")
    worst: int = setting(5, whole_number, "how many of the worst pictures to name")
    output: Optional[str] = setting(None, str, "folder for scores, TensorBoard events and the best checkpoints "
                                    "(default: the checkpoint's folder)")
    json: bool = setting(False, switch, "print one JSON object a checkpoint instead of the tables")


@dataclass(frozen=True)
class Predict:
    """Cut the person out of photos: alpha, RGBA cut-out and composition as PNG at the photo's own size.

    The network sees a square. A photo between square and twice as high as wide is squeezed into it, as in training; one
    that is wider or higher is first extended by mirroring at its borders. EXIF orientation is applied. The exit code is
    1 where some photos could not be read, and 2 where none could.
    """
    photos: Tuple[str, ...] = setting(NEEDED, str, "photos and folders of photos (jpg, jpeg, png)", "+")
    output: str = setting(NEEDED, str, "folder to write to")
    checkpoint_path: Optional[str] = setting(None, str, "checkpoint prefix, or a folder: its latest; without it the "
                                             "weights are untrained")
    background: Optional[str] = setting(None, str, "also compose over this: a colour (#rrggbb or a name) or a picture")
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    json: bool = setting(False, switch, "print one JSON object a photo")


@dataclass(frozen=True)
class Synthesize:
    """Draw made-up portraits with their true soft alpha, as a data set."""
    dataset_path: str = setting(NEEDED, str, "folder to write SPLIT/image and SPLIT/mask into")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    pictures: int = setting(32, positive_int, "how many")
    seed: int = setting(0, whole_number, "the same seed draws the same portraits")
    shape: Tuple[int, int] = setting((800, 600), positive_int, "height width in pixels", 2)


VERBS = {"evaluate": Evaluate, "predict": Predict, "synthesize": Synthesize}


def resolve(verb, flags, preset=None):
    """The settings of a verb.

    Args:
        verb: a key of VERBS. flags: name -> text or list of texts, what the user gave. preset: path of a YAML file.

    Raises:
        FileNotFoundError: no such preset. ValueError: an unknown, ill-typed or missing setting; says which and where.
    """
    fields = {field.name: field for field in dataclasses.fields(VERBS[verb])}
    values = {}
    for name, value in (read_preset(preset) if preset else {}).items():
        if name in fields:
            values[name] = _convert(fields[name], value, "%s: %s" % (preset, name))
    for name, value in flags.items():
        values[name] = _convert(fields[name], value, "--" + name)
    for name, field in fields.items():
        if field.default is NEEDED and name not in values:
            raise ValueError("--%s is needed: %s" % (name, field.metadata["about"]))
    return VERBS[verb](**values)


def read_preset(path):
    """The settings in a YAML file: name -> value as YAML reads it."""
    try:
        with open(path) as file:
            values = yaml.safe_load(file) or {}
    except yaml.YAMLError as error:
        raise ValueError("%s is not YAML: %s" % (path, " ".join(str(error).split()))) from None
    if not isinstance(values, dict):
        raise ValueError("%s: a preset is lines of 'name: value'" % path)
    known = {field.name for verb in VERBS.values() for field in dataclasses.fields(verb)}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = "; did you mean %r?" % near[0] if near else ""
            raise ValueError("%s: no setting is named %r%s" % (path, name, hint))
    return values


def _convert(field, value, where):
    """A value of the field's type. Everything goes through text: YAML 1.1 takes 1e-4 for a string anyway."""
    kind, count = field.metadata["kind"], field.metadata["count"]
    many = isinstance(value, (list, tuple))
    if many != (count is not None) or (isinstance(count, int) and len(value) != count):
        raise ValueError("%s: %s, not %r" % (where, "one value" if count is None else "a list" if count == "+" else
                                             "%d values" % count, value))
    try:
        return tuple(kind(str(one)) for one in value) if many else kind(str(value))
    except ValueError as error:
        raise ValueError("%s: %s" % (where, error)) from None
