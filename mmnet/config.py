"""Typed settings: one frozen dataclass a verb. A YAML preset and the command line fill them; no TensorFlow here.

The order of precedence is flag, preset, the run that made the checkpoint, default. A preset may serve several verbs, so
it may hold any verb's settings; a name that no verb knows is an error.
"""
import dataclasses
import difflib
import os
from dataclasses import dataclass
from typing import Optional, Tuple

import yaml
from humanfriendly import InvalidSize, InvalidTimespan, parse_size, parse_timespan


def positive_int(text):
    if not text.isdigit() or int(text) < 1:
        raise ValueError("a whole number above 0, not %r" % text)
    return int(text)


def positive_ints(text):
    try:
        return tuple(positive_int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("whole numbers above 0 with commas between, such as 1,2, not %r" % text) from None


def whole_number(text):
    if not text.isdigit():
        raise ValueError("a whole number, 0 or more, not %r" % text)
    return int(text)


def seed_number(text):
    if not text.isdigit() or int(text) >= 1 << 32:
        raise ValueError("a whole number from 0 to 4294967295, not %r" % text)
    return int(text)


def positive_float(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("a number above 0, not %r" % text)
    return value


def not_negative(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError("a number, 0 or more, not %r" % text)
    return value


def decay(text):
    value = not_negative(text)
    if value >= 1:
        raise ValueError("a number from 0 to below 1, not %r" % text)
    return value


def network_size(text):
    if not text.isdigit() or int(text) < 32 or int(text) % 32:
        near = [round(int(text) / 32) * 32 or 32] if text.isdigit() else [128, 256]
        raise ValueError("a multiple of 32 such as %s, not %r" % (" or ".join(map(str, near)), text))
    return int(text)


def size_in_bytes(text):
    try:
        return parse_size(text, binary=True)
    except InvalidSize:
        raise ValueError("a size such as 500MB or 4GB, not %r" % text) from None


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


def setting(default, kind, about, count=None, positional=False):
    """A field of a settings class.

    Args:
        default: dataclasses.MISSING where the user must say it. kind: text -> value, ValueError says what would be
        right. about: for --help, with the unit. count: values it takes: None for one, a number, or "+" for a list.
        positional: given without its name.
    """
    return dataclasses.field(default=default, metadata={"kind": kind, "about": about, "count": count,
                                                        "positional": positional})


NEEDED = dataclasses.MISSING


def device_setting():
    return setting(None, one_of("cpu", "gpu", "npu"), "cpu, gpu or npu (an Ascend chip, with TF Adapter); without it, "
                   "what TensorFlow finds")


@dataclass(frozen=True)
class Train:
    """Train MMNet: from scratch, from another run's checkpoint, or on from where the same run stopped.

    Where TRAIN_DIR holds a checkpoint, training goes on from its latest exactly as if it had not stopped. Else
    --checkpoint_path is a warm start: the global step goes on, the steps from restore start at 0. Else from scratch.
    """
    dataset_path: Tuple[str, ...] = setting(NEEDED, str, "folders that hold SPLIT/image and SPLIT/mask; several are "
                                            "joined", "+")
    train_dir: str = setting(NEEDED, str, "folder for checkpoints, TensorBoard events and the configuration")
    dataset_split_name: str = setting("train", str, "SPLIT, the folder below each data set")
    dataset_weights: Optional[Tuple[float, ...]] = setting(None, positive_float, "how often each data set is drawn "
                                                           "from, one number each; without it, every picture alike", "+")
    augmentation_method: str = setting("resize_random_scale_crop_flip_rotate", one_of(
        "resize_bilinear", "resize_random_scale_crop_flip_rotate", "rich"), "resize_bilinear, "
        "resize_random_scale_crop_flip_rotate (the published one), or rich (that, and colours, noise, blur, ...)")
    cache: str = setting("memory", one_of("none", "memory", "disk"), "where decoded pictures are kept: none, memory "
                         "(on disk where they exceed --cache_budget) or disk")
    cache_budget: int = setting(4 << 30, size_in_bytes, "most memory for decoded pictures (500MB, 4GB, ...)")
    batch_size: int = setting(32, positive_int, "pictures a step")
    seed: int = setting(0, seed_number, "of the weights, the order of the pictures and their augmentation")
    device: Optional[str] = device_setting()
    precision_mode: str = setting("allow_mix_precision", one_of(
        "allow_fp32_to_fp16", "allow_mix_precision", "must_keep_origin_dtype", "force_fp16"), "what the npu "
        "computes in float16 (other devices keep float32): allow_fp32_to_fp16, allow_mix_precision, "
        "must_keep_origin_dtype or force_fp16")
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    checkpoint_path: Optional[str] = setting(None, str, "warm start: checkpoint prefix, or a folder: its latest")
    checkpoint_include_scopes: Optional[Tuple[str, ...]] = setting(None, str, "warm start: load only variables whose "
                                                                   "names start so", "+")
    checkpoint_exclude_scopes: Optional[Tuple[str, ...]] = setting(None, str, "warm start: leave out variables whose "
                                                                   "names start so", "+")
    ignore_missing_vars: bool = setting(False, switch, "warm start: variables that are missing there, or have another "
                                        "shape, start fresh; without it they are an error")
    reset_optimizer: bool = setting(False, switch, "warm start: leave the optimizer's slots out")
    trainable_scopes: Optional[Tuple[str, ...]] = setting(None, str, "train only variables whose names start so", "+")
    optimizer: str = setting("adam", one_of("adam", "gd", "momentum", "rmsprop"), "adam, gd, momentum (.9) or rmsprop")
    learning_rate: float = setting(1e-4, positive_float, "at its highest")
    learning_rate_schedule: str = setting("fixed", one_of("fixed", "step", "polynomial", "cosine"), "fixed; step (x "
                                          "--learning_rate_decay each --learning_rate_decay_steps); polynomial or "
                                          "cosine (to 0 at the last step, which must be set)")
    learning_rate_decay: float = setting(0.1, positive_float, "factor of the step schedule")
    learning_rate_decay_steps: int = setting(100000, positive_int, "steps of the step schedule between two decays")
    learning_rate_power: float = setting(0.9, positive_float, "power of the polynomial schedule")
    warm_up_steps: int = setting(0, whole_number, "steps from restore over which the rate rises from 0")
    weight_decay: float = setting(4e-7, not_negative, "of the convolutions' weights, half the square sum")
    lambda_alpha_loss: float = setting(1.0, not_negative, "weight of the mean absolute difference of alpha")
    lambda_comp_loss: float = setting(1.0, not_negative, "weight of the composition term")
    lambda_grad_loss: float = setting(1.0, not_negative, "weight of the gradient term")
    lambda_kd_loss: float = setting(1.0, not_negative, "weight of the cross entropy with the true alpha")
    lambda_aux_loss: float = setting(1.0, not_negative, "weight of the auxiliary head's cross entropy")
    lambda_laplacian_loss: float = setting(0.0, not_negative, "weight of the Laplacian pyramid term")
    lambda_focal_loss: float = setting(0.0, not_negative, "weight of the focal term")
    lambda_boundary_loss: float = setting(0.0, not_negative, "weight of the boundary term")
    composition_range: float = setting(1.0, positive_float, "highest value the composition term takes a picture to "
                                       "have; the published code divided by 255 twice, which is 255 here")
    batch_norm_decay: float = setting(0.999, decay, "of batch norm's moving statistics, a step; lower in the "
                                      "first steps from scratch")
    quantize: bool = setting(False, switch, "make a trained network ready for 8 bits: round weights and activations as "
                             "int8 does, keep batch norm's moving statistics, learn the activations' ranges")
    use_ema: bool = setting(False, switch, "keep an exponential moving average of the weights beside them")
    ema_decay: float = setting(0.999, decay, "of that average, a step")
    max_step_from_restore: Optional[int] = setting(None, positive_int, "stop after so many steps")
    max_epoch_from_restore: Optional[float] = setting(None, positive_float, "stop after so many epochs")
    step_save_checkpoint: int = setting(500, positive_int, "steps between two checkpoints")
    step_save_summaries: int = setting(100, positive_int, "steps between two lines of the log and TensorBoard points")
    max_to_keep: int = setting(5, positive_int, "checkpoints to keep in TRAIN_DIR")


@dataclass(frozen=True)
class Evaluate:
    """Score a checkpoint on a data set: MAD and gradient error at the network's size and at the target shape."""
    dataset_path: str = setting(NEEDED, str, "folder that holds SPLIT/image and SPLIT/mask")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    checkpoint_path: Optional[str] = setting(None, str, "checkpoint prefix, or a folder: its latest, or its every "
                                             "checkpoint with --valid_type loop; without it the weights are untrained")
    model: Optional[str] = setting(None, str, "instead of a checkpoint: a .pb, .tflite, .onnx or a SavedModel's folder;"
                                   " its scores are printed only")
    valid_type: str = setting("once", one_of("once", "loop"), "once, or loop: every checkpoint of the folder, also "
                              "those that appear later; what is already scored is not computed again")
    watch_timeout: Optional[float] = setting(None, timespan, "end the loop after this time without a new checkpoint "
                                             "(90s, 10m, 2h); without it, it goes on until Ctrl-C")
    target_eval_shape: Tuple[int, int] = setting((800, 600), positive_int, "second shape to score at: height width in "
                                                 "pixels", 2)
    batch_size: int = setting(8, positive_int, "pictures in one run of the network")
    device: Optional[str] = device_setting()
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    use_ema: bool = setting(False, switch, "take the moving averages of the weights (a run trained with --use_ema)")
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
    photos: Tuple[str, ...] = setting(NEEDED, str, "photos and folders of photos (jpg, jpeg, png)", "+",
                                      positional=True)
    output: str = setting(NEEDED, str, "folder to write to")
    checkpoint_path: Optional[str] = setting(None, str, "checkpoint prefix, or a folder: its latest; without it the "
                                             "weights are untrained")
    model: Optional[str] = setting(None, str, "instead of a checkpoint: a .pb, .tflite, .onnx or a SavedModel's folder")
    background: Optional[str] = setting(None, str, "also compose over this: a colour (#rrggbb or a name) or a picture")
    device: Optional[str] = device_setting()
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    use_ema: bool = setting(False, switch, "take the moving averages of the weights (a run trained with --use_ema)")
    json: bool = setting(False, switch, "print one JSON object a photo")


@dataclass(frozen=True)
class Freeze:
    """Write a checkpoint as one frozen graph (.pb): weights inside, nothing of training, input input_x, output output.

    The graph is run beside the checkpoint and handed over only where the alphas agree to 1e-5 (1e-4 with batch norm
    folded: weights rounded again); else nothing is written and the exit code is 1. TensorFlow 1.15 loads it, whichever
    TensorFlow wrote it.
    """
    checkpoint_path: str = setting(NEEDED, str, "checkpoint prefix, or a folder: its latest")
    output: str = setting(NEEDED, str, "the .pb to write")
    graph: Optional[str] = setting(None, str, "also write the graph with its variables, without weights, to this .pb")
    preprocess: str = setting("inside", one_of("inside", "outside"), "where pictures are divided by 255: inside the "
                              "graph (it takes 0..255), or outside (it takes 0..1)")
    fold_batch_norm: bool = setting(False, switch, "multiply batch norm into the convolutions")
    output_type: str = setting("probabilities", one_of("probabilities", "alpha", "logits"), "what the output holds: "
                               "probabilities (channel 1 is alpha), alpha, or logits")
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    use_ema: bool = setting(False, switch, "take the moving averages of the weights (a run trained with --use_ema)")
    dataset_path: Optional[str] = setting(None, str, "compare on pictures of this data set; without it, on made-up ones")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    json: bool = setting(False, switch, "print one JSON object")


@dataclass(frozen=True)
class Export:
    """Write a checkpoint as SavedModel, TFLite or ONNX, each with a card (.json), input input_x, output output.

    Batch norm is folded. Every model is run beside the checkpoint, and all are handed over only where the alphas agree:
    float32 to 1e-4, float16 to 1e-3 in the mean, dynamic and int8 to 1e-2 in the mean; else nothing is written and the
    exit code is 1.
    """
    checkpoint_path: str = setting(NEEDED, str, "checkpoint prefix, or a folder: its latest")
    format: Tuple[str, ...] = setting(NEEDED, one_of("savedmodel", "tflite", "onnx"), "savedmodel, tflite, onnx: one "
                                      "or several", "+")
    output: str = setting(NEEDED, str, "folder to write savedmodel/, mmnet_PRECISION.tflite, mmnet.onnx to")
    precision: str = setting("float32", one_of("float32", "float16", "dynamic", "int8"), "of tflite: float32, float16 "
                             "(weights), dynamic (weights of 8 bit) or int8 (everything); the others are float32")
    io: str = setting("float", one_of("float", "uint8"), "what an int8 model takes and gives: float or uint8")
    calibration_dataset: Optional[str] = setting(None, str, "int8: folder that holds SPLIT/image and SPLIT/mask, to "
                                                 "measure ranges on")
    calibration_split: str = setting("train", str, "its SPLIT, of training pictures")
    calibration_pictures: int = setting(100, positive_int, "how many of them, evenly spread")
    calibration_method: str = setting("minmax", one_of("minmax", "entropy"), "minmax: from the lowest value to the "
                                      "highest; entropy: clipped where it costs least information (Kullback-Leibler)")
    preprocess: str = setting("inside", one_of("inside", "outside"), "where pictures are divided by 255: inside the "
                              "model (it takes 0..255), or outside (it takes 0..1)")
    output_type: str = setting("alpha", one_of("probabilities", "alpha", "logits"), "what the output holds: "
                               "probabilities (channel 1 is alpha), alpha, or logits")
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    use_ema: bool = setting(False, switch, "take the moving averages of the weights (a run trained with --use_ema)")
    dataset_path: Optional[str] = setting(None, str, "compare on pictures of this data set; without it, on made-up "
                                          "ones")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    json: bool = setting(False, switch, "print one JSON object a model")


@dataclass(frozen=True)
class Parity:
    """Compare models with the checkpoint they were made of, on the same pictures: alphas, scores, bytes, operations.

    The exit code is 1 where a model differs by more than mmnet export lets pass: float32 by 1e-4, float16 (and what an .om
    gave, which computes in it) by 1e-3 in the mean, dynamic and int8 by 1e-2 in the mean.
    """
    models: Tuple[str, ...] = setting(NEEDED, str, ".pb, .tflite, .onnx, SavedModels' folders, and folders that msame or "
                                      "ais_bench wrote", "+", positional=True)
    checkpoint_path: str = setting(NEEDED, str, "checkpoint prefix, or a folder: its latest")
    dataset_path: str = setting(NEEDED, str, "folder that holds SPLIT/image and SPLIT/mask")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    output_type: str = setting("probabilities", one_of("probabilities", "alpha", "logits"), "what the files in folders of "
                               "msame or ais_bench hold")
    batch_size: int = setting(8, positive_int, "pictures in one run of the network")
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    use_ema: bool = setting(False, switch, "take the moving averages of the weights (a run trained with --use_ema)")
    json: bool = setting(False, switch, "print one JSON object a model")


@dataclass(frozen=True)
class Benchmark:
    """Measure how long models take: latency of a batch (median, 90th percentile), images/s, memory, what they compute.

    Every model runs in a process of its own and they take turns; "time / first" is each one's time over that of the model
    named first. --train and --input measure a training step, and the input of training alone, against a plain baseline;
    --adb measures on an Android phone.
    """
    models: Tuple[str, ...] = setting((), str, ".pb, .tflite, .onnx, SavedModels' folders and checkpoints", "*",
                                      positional=True)
    threads: Tuple[int, ...] = setting((1,), positive_ints, "numbers of threads, such as 1,2")
    batch: Optional[Tuple[int, ...]] = setting(None, positive_ints, "pictures a run, such as 1,8,32 (default: 1; 32 with "
                                               "--train and --input)")
    seconds: float = setting(5.0, positive_float, "to measure each model for")
    train: bool = setting(False, switch, "measure training steps on --dataset_path instead")
    input: bool = setting(False, switch, "measure the input of training on --dataset_path instead")
    turns: int = setting(10, positive_int, "--train, --input: how often ours and the baseline take turns")
    dataset_path: Optional[str] = setting(None, str, "--train, --input: folder that holds SPLIT/image and SPLIT/mask")
    dataset_split_name: str = setting("train", str, "SPLIT, the folder below it")
    adb: Optional[str] = setting(None, str, "measure .tflite models on the phone that adb finds, with this program: "
                                 "TensorFlow Lite's benchmark_model for Android")
    device: Optional[str] = device_setting()
    width_multiplier: Optional[float] = setting(None, positive_float, "channel multiplier of the network: of checkpoints, "
                                                "--train (default: what a checkpoint's run says, else 1.0)")
    size: Optional[int] = setting(None, network_size, "side of the network's input in pixels, a multiple of 32: of "
                                  "checkpoints, --train, --input (default: what a checkpoint's run says, else 256)")
    use_ema: bool = setting(False, switch, "checkpoints: take the moving averages of the weights")
    json: bool = setting(False, switch, "print one JSON object a row")


@dataclass(frozen=True)
class Info:
    """Show the card of a checkpoint or a model: parameters, multiply-adds, names, lineage, scores, against the paper."""
    path: str = setting(NEEDED, str, "checkpoint prefix or folder, .pb, .tflite, .onnx or a SavedModel's folder",
                        positional=True)
    json: bool = setting(False, switch, "print one JSON object")


@dataclass(frozen=True)
class Selfcheck:
    """Check that batch norm's moving statistics fit the weights.

    One batch goes through the network with its own statistics, as in training, and with the moving ones, as ever after,
    and is scored both ways: a run whose moving statistics broke does well in the one and badly in the other. The exit
    code is 1 where something is wrong; what, is said.
    """
    checkpoint_path: str = setting(NEEDED, str, "checkpoint prefix, or a folder: its latest")
    dataset_path: str = setting(NEEDED, str, "folder that holds SPLIT/image and SPLIT/mask: such pictures as the "
                                "network was trained on")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    batch_size: int = setting(8, positive_int, "pictures in the batch, the first of the split")
    device: Optional[str] = device_setting()
    width_multiplier: float = setting(1.0, positive_float, "channel multiplier of the network")
    size: int = setting(256, network_size, "side of the network's input in pixels, a multiple of 32")
    json: bool = setting(False, switch, "print one JSON object")


@dataclass(frozen=True)
class Synthesize:
    """Draw made-up portraits with their true soft alpha, as a data set."""
    dataset_path: str = setting(NEEDED, str, "folder to write SPLIT/image and SPLIT/mask into")
    dataset_split_name: str = setting("test", str, "SPLIT, the folder below it")
    pictures: int = setting(32, positive_int, "how many")
    seed: int = setting(0, seed_number, "the same seed draws the same portraits")
    shape: Tuple[int, int] = setting((800, 600), positive_int, "height width in pixels", 2)


NETWORK = {"width_multiplier", "size"}  # what a run says of its checkpoints to later verbs
RUN_FILE = "config.yaml"  # the settings of a run, in its train_dir

VERBS = {"train": Train, "evaluate": Evaluate, "predict": Predict, "freeze": Freeze, "export": Export,
         "parity": Parity, "benchmark": Benchmark, "info": Info, "selfcheck": Selfcheck, "synthesize": Synthesize}


def resolve(verb, flags, preset=None):
    """The settings of a verb. Which network it is, a trained checkpoint's own run says first (RUN_FILE beside it).

    Args:
        verb: a key of VERBS. flags: name -> text or list of texts, what the user gave. preset: path of a YAML file.

    Raises:
        FileNotFoundError: no such preset. ValueError: an unknown, ill-typed or missing setting; says which and where.
    """
    fields = {field.name: field for field in dataclasses.fields(VERBS[verb])}
    values = {}
    given = read_preset(preset) if preset else {}
    for name, value in given.items():
        if name in fields:
            values[name] = _convert(fields[name], value, "%s: %s" % (preset, name))
    run = verb != "train" and _run_file(flags.get("checkpoint_path", given.get("checkpoint_path")))
    if run:
        network = read_preset(run)
        for name in NETWORK & network.keys() & fields.keys() - values.keys():
            values[name] = _convert(fields[name], network[name], "%s: %s" % (run, name))
    for name, value in flags.items():
        values[name] = _convert(fields[name], value, "--" + name)
    for name, field in fields.items():
        if field.default is NEEDED and name not in values:
            raise ValueError("--%s is needed: %s" % (name, field.metadata["about"]))
    return VERBS[verb](**values)


def network_of(checkpoint_path):
    """(width_multiplier, size) that a checkpoint's own run says, each None where it does not."""
    run = _run_file(checkpoint_path)
    given = read_preset(run) if run else {}
    fields = {field.name: field for field in dataclasses.fields(Train)}
    return tuple(_convert(fields[name], given[name], "%s: %s" % (run, name)) if name in given else None
                 for name in ("width_multiplier", "size"))


def _run_file(checkpoint_path):
    """The RUN_FILE beside a checkpoint (a prefix or a folder), or None."""
    if not checkpoint_path:
        return None
    folder = checkpoint_path if os.path.isdir(checkpoint_path) else os.path.dirname(checkpoint_path)
    path = os.path.join(folder, RUN_FILE)
    return path if os.path.exists(path) else None


def read_preset(path):
    """The settings in a YAML file: name -> value as YAML reads it. A null is as if it were not there."""
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
    return {name: value for name, value in values.items() if value is not None}


def to_yaml(settings):
    """All the settings of a verb as a preset."""
    return yaml.safe_dump({name: list(value) if isinstance(value, tuple) else value
                           for name, value in dataclasses.asdict(settings).items()}, sort_keys=False)


def _convert(field, value, where):
    """A value of the field's type. Everything goes through text: YAML 1.1 takes 1e-4 for a string anyway."""
    kind, count = field.metadata["kind"], field.metadata["count"]
    many = isinstance(value, (list, tuple))
    if many != (count is not None) or (isinstance(count, int) and len(value) != count):
        raise ValueError("%s: %s, not %r" % (where, "one value" if count is None else "a list" if count in ("+", "*") else
                                             "%d values" % count, value))
    try:
        return tuple(kind(str(one)) for one in value) if many else kind(str(value))
    except ValueError as error:
        raise ValueError("%s: %s" % (where, error)) from None
