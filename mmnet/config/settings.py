"""Typed settings: one frozen dataclass a verb; what verbs share is a mixin. No TensorFlow."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Optional, Tuple

from mmnet import checkpoint_files
from mmnet.cluster.members import PORT
from mmnet.config.kinds import (
    data_set_folder,
    decay,
    existing_file,
    network_side,
    not_negative,
    one_of,
    pictures_folder,
    port_number,
    positive_float,
    positive_int,
    positive_ints,
    seed_number,
    shard,
    share,
    size_in_bytes,
    source,
    switch,
    text,
    timespan,
    whole_number,
)
from mmnet.data.layouts import LAYOUTS
from mmnet.data.synthetic import LOOKS, PLAIN, VARIED
from mmnet.memory import DRAWING_BYTES, SCORING_BYTES, need_memory, network_bytes
from mmnet.network import CLASSIFIERS, decide, said_in, shape_text
from mmnet.shards import Shard
from mmnet.weights.find import find_source, is_model
from mmnet.weights.registry import DEFAULT, UNTRAINED, VIDEO, need_name
from mmnet.weights.values import Reading

NEEDED = object()  # the default of a setting that the user must give


def setting(default, kind, about, count=None, positional=False, alias=None):
    """A field of a settings class.

    Args:
        default: NEEDED where the user must give it. kind: text -> value, of config.kinds.
        about: for --help, with the unit. count: how many values it takes: None for one, a number,
        "+" or "*" for a list. positional: given without its name. alias: a second name.
    """
    metadata = {
        "kind": kind,
        "about": about,
        "count": count,
        "positional": positional,
        "alias": alias,
    }
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """What every settings class has."""

    def check(self):
        """Raise ValueError or FileNotFoundError for settings that do not go together."""


@dataclass(frozen=True)
class DataSetSettings(Settings):
    dataset_path: str = setting(
        NEEDED, data_set_folder, "folder that holds SPLIT/image and SPLIT/mask"
    )
    dataset_split_name: str = setting("test", text, "SPLIT, the folder below it")


@dataclass(frozen=True)
class OptionalDataSetSettings(Settings):
    dataset_path: Optional[str] = setting(
        None, data_set_folder, "compare on pictures of this data set; without it, on made-up ones"
    )
    dataset_split_name: str = setting("test", text, "SPLIT, the folder below it")


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """Which network. Without these flags, what the source says of itself, then the defaults."""

    network: Optional[str] = setting(
        None, text, "one of %s (default: what the source says, or mmnet)" % ", ".join(CLASSIFIERS)
    )
    width_multiplier: Optional[float] = setting(
        None, positive_float, "channel multiplier of the network (default: 1.0)"
    )
    size: Optional[int] = setting(
        None,
        network_side,
        "side of a square network input in pixels, a multiple of 32 (default: 256)",
    )
    shape: Optional[Tuple[int, int]] = setting(
        None, network_side, "height width of the network's input, in place of --size", 2
    )
    channels: Optional[int] = setting(
        None,
        positive_int,
        "of its input: 3 (RGB, the default) or 4, with the alpha of the frame before",
    )

    def wanted(self):
        """Fields of a Network that the user gave."""
        return said_in({name: getattr(self, name) for name in NETWORK_FLAGS})

    def check(self):
        super().check()
        if self.size is not None and self.shape is not None:
            raise ValueError("--size and --shape do not go together: give one of them")
        network, batch = decide(self.wanted()), self.largest_batch()
        what = "%s for %d pictures at a time" % (network, batch)
        need_memory(what, network_bytes(network, batch, training=isinstance(self, Train)))

    def largest_batch(self):
        """Pictures that go through the network at once."""
        return getattr(self, "batch_size", 1)


NETWORK_FLAGS = [field.name for field in dataclasses.fields(NetworkSettings)]


CHECKPOINT = (
    "checkpoint prefix, or a folder: its latest, or weights by name (mmnet weights list; "
    "untrained: random ones)"
)
SOURCE = CHECKPOINT + "; or a .pb, .tflite, .onnx or a SavedModel's folder"


@dataclass(frozen=True)
class SourceSettings(NetworkSettings):
    """A trained network."""

    checkpoint_path: str = setting(DEFAULT, source, SOURCE, alias="model")
    use_ema: bool = setting(
        False, switch, "take the moving averages of the weights (a run trained with --use_ema)"
    )
    temperature: float = setting(
        1.0,
        positive_float,
        "of a checkpoint: multiply the log odds of alpha by this, at no cost: on portraits 2 suits "
        "the published weights (mmnet temperature finds the best)",
    )

    def reading(self):
        """How a checkpoint's weights are taken."""
        return Reading(self.use_ema, self.temperature)

    def check(self):
        super().check()
        for name in ("use_ema", "temperature"):
            given = getattr(self, name) != getattr(Reading(), name)
            if given and self.checkpoint_path and is_model(self.checkpoint_path):
                message = "--%s is for a checkpoint, not for %s"
                raise ValueError(message % (name, self.checkpoint_path))


@dataclass(frozen=True)
class CheckpointSettings(SourceSettings):
    """A trained network, by its checkpoint."""

    checkpoint_path: str = setting(DEFAULT, source, CHECKPOINT)

    def check(self):
        super().check()
        if is_model(self.checkpoint_path):
            raise ValueError(
                "--checkpoint_path %s is a model file: give the checkpoint that it was made of"
                % self.checkpoint_path
            )


@dataclass(frozen=True)
class DeviceSettings(Settings):
    device: Optional[str] = setting(
        None,
        one_of("cpu", "gpu", "npu"),
        "cpu, gpu or npu (an Ascend chip, with TF Adapter); without it, what TensorFlow finds",
    )


@dataclass(frozen=True)
class JsonSettings(Settings):
    json: bool = setting(False, switch, "print JSON, one object a result")


@dataclass(frozen=True)
class FormSettings(Settings):
    """How a delivered model takes and gives pictures."""

    preprocess: str = setting(
        "inside",
        one_of("inside", "outside"),
        "where pictures are divided by 255: inside the model (it takes 0..255), or outside (0..1)",
    )


@dataclass(frozen=True)
class CareSettings(Settings):
    """What is done for a photo beside one run of the network."""

    no_second_look: bool = setting(
        False, switch, "leave out the second run, on the part of the photo that holds the people"
    )
    no_refinement: bool = setting(
        False, switch, "leave out what brings the alpha to the photo's own edges"
    )


@dataclass(frozen=True)
class PhotoSettings(CareSettings):
    """The same, of what is cut out."""

    no_foreground_colours: bool = setting(
        False,
        switch,
        "keep the photo's colours at soft edges, in which the old background shines through",
    )


@dataclass(frozen=True)
class Train(NetworkSettings, DeviceSettings):
    """Train a network: from scratch, from another run, or on from where this run stopped.

    Where TRAIN_DIR holds a checkpoint, training goes on from its latest exactly as if it had not
    stopped. Else --checkpoint_path is a warm start: the global step goes on, the steps from restore
    start at 0. Else from scratch. Without --max_step_from_restore or --max_epoch_from_restore it
    goes on until Ctrl-C.
    """

    train_dir: str = setting(
        NEEDED, text, "folder for checkpoints, TensorBoard events and the configuration"
    )
    dataset_path: Optional[Tuple[str, ...]] = setting(
        None,
        data_set_folder,
        "folders that hold SPLIT/image and SPLIT/mask; several are joined",
        "+",
    )
    dataset_split_name: str = setting("train", text, "SPLIT, the folder below each data set")
    dataset_weights: Optional[Tuple[float, ...]] = setting(
        None,
        positive_float,
        "how often each data set is drawn from, one number each; without it, every picture alike",
        "+",
    )
    augmentation_method: str = setting(
        "resize_random_scale_crop_flip_rotate",
        one_of("resize_bilinear", "resize_random_scale_crop_flip_rotate", "rich", "wide"),
        "resize_bilinear, resize_random_scale_crop_flip_rotate (the published one), rich (that, "
        "and colours, noise, blur, ...), or wide (rich, and persons who do not fill the picture)",
    )
    teacher: Optional[str] = setting(
        None, text, "learn this network's alphas, too (distillation): " + SOURCE
    )
    teacher_temperature: float = setting(
        1.0,
        positive_float,
        "that divides the log odds of the teacher and of the network in that term; above 1 the "
        "network learns more of what the teacher is not sure of",
    )
    lambda_teacher_loss: Optional[float] = setting(
        None, not_negative, "weight of the cross entropy with the teacher's alphas (with one: 1)"
    )
    pictures_path: Optional[Tuple[str, ...]] = setting(
        None,
        pictures_folder,
        "folders of pictures without masks, each a further data set: the teacher's alphas are "
        "their masks",
        "+",
    )
    adapt: bool = setting(
        False,
        switch,
        "adapt a trained modnet to --pictures_path alone, by the consistency of its parts (SOC); "
        "its authors use --learning_rate 1e-5",
    )
    augmentation_strength: float = setting(
        1.0,
        not_negative,
        "what the probabilities of rich's changes (colours, noise, blur, ...) are multiplied by; a "
        "small network that has seen much learns more from less of it",
    )
    backgrounds_path: Optional[str] = setting(
        None,
        pictures_folder,
        "folder of pictures without people: the persons of some pictures are cut out and put "
        "before one of them, with a soft edge of their own colours",
    )
    swapped_backgrounds: float = setting(0.4, share, "share of those pictures, 0 to 1")
    cache: str = setting(
        "memory",
        one_of("none", "memory", "disk"),
        "where decoded pictures are kept: none, memory (on disk where they exceed --cache_budget) "
        "or disk",
    )
    cache_budget: int = setting(
        4 << 30, size_in_bytes, "most memory for decoded pictures (500MB, 4GB, ...)"
    )
    batch_size: int = setting(
        32, positive_int, "pictures a step; of several processes, of all of them together"
    )
    engine: str = setting(
        "tensorflow",
        one_of("tensorflow", "horovod", "hccl"),
        "what adds up the gradients of several processes (mmnet launch): tensorflow's collectives, "
        "horovod where it is installed, or hccl on Ascend",
    )
    sync_batch_norm: bool = setting(
        False,
        switch,
        "of several processes: batch norm by the pictures of all, not by each one's own",
    )
    peer_timeout: float = setting(
        20.0, timespan, "how long a process may be silent, or behind the others, before all end"
    )
    seed: int = setting(
        0, seed_number, "of the weights, the order of the pictures and their augmentation"
    )
    precision_mode: str = setting(
        "allow_mix_precision",
        one_of("allow_fp32_to_fp16", "allow_mix_precision", "must_keep_origin_dtype", "force_fp16"),
        "what the npu computes in float16 (other devices keep float32): allow_fp32_to_fp16, "
        "allow_mix_precision, must_keep_origin_dtype or force_fp16",
    )
    precision: str = setting(
        "float32",
        one_of("float32", "mixed_float16", "bfloat16"),
        "what a GPU computes in: float32; mixed_float16 (convolutions in float16, batch norm's "
        "statistics and the loss in float32, the loss scaled); bfloat16",
    )
    force_precision: bool = setting(
        False, switch, "use --precision where nothing is gained by it, too"
    )
    xla: bool = setting(
        False,
        switch,
        "let XLA compile parts of the graph on a GPU (on processors it was 7 times slower)",
    )
    layout: str = setting(
        "auto",
        one_of("auto", "NHWC", "NCHW"),
        "how a GPU lays pictures out in memory: NHWC, NCHW, or auto, the faster one, measured "
        "before the first step",
    )
    checkpoint_path: Optional[str] = setting(None, text, "warm start: " + CHECKPOINT)
    checkpoint_include_scopes: Optional[Tuple[str, ...]] = setting(
        None, text, "warm start: load only variables whose names start so", "+"
    )
    checkpoint_exclude_scopes: Optional[Tuple[str, ...]] = setting(
        None, text, "warm start: leave out variables whose names start so", "+"
    )
    ignore_missing_vars: bool = setting(
        False,
        switch,
        "warm start: variables that are missing there, or have another shape, start fresh; without "
        "it they are an error",
    )
    reset_optimizer: bool = setting(False, switch, "warm start: leave the optimizer's slots out")
    trainable_scopes: Optional[Tuple[str, ...]] = setting(
        None, text, "train only variables whose names start so", "+"
    )
    optimizer: str = setting(
        "adam", one_of("adam", "gd", "momentum", "rmsprop"), "adam, gd, momentum (.9) or rmsprop"
    )
    learning_rate: float = setting(1e-4, positive_float, "at its peak")
    learning_rate_schedule: str = setting(
        "fixed",
        one_of("fixed", "step", "polynomial", "cosine"),
        "fixed; step (x --learning_rate_decay each --learning_rate_decay_steps); polynomial or "
        "cosine (to 0 at the last step, which must be set)",
    )
    learning_rate_decay: float = setting(0.1, positive_float, "factor of the step schedule")
    learning_rate_decay_steps: int = setting(
        100000, positive_int, "steps of the step schedule between two decays"
    )
    learning_rate_power: float = setting(0.9, positive_float, "power of the polynomial schedule")
    warm_up_steps: int = setting(
        0, whole_number, "steps from restore over which the rate rises from 0"
    )
    weight_decay: float = setting(
        4e-7, not_negative, "of the convolutions' weights, half the square sum"
    )
    # The weights of the loss terms; without a flag, those of the network's recipe.
    lambda_alpha_loss: Optional[float] = setting(
        None, not_negative, "weight of the mean absolute difference of alpha (mmnet: 1)"
    )
    lambda_comp_loss: Optional[float] = setting(
        None, not_negative, "weight of the composition term (mmnet: 1)"
    )
    lambda_grad_loss: Optional[float] = setting(
        None, not_negative, "weight of the gradient term (mmnet: 1)"
    )
    lambda_kd_loss: Optional[float] = setting(
        None, not_negative, "weight of the cross entropy with the true alpha (mmnet: 1)"
    )
    lambda_aux_loss: Optional[float] = setting(
        None, not_negative, "weight of the auxiliary head's cross entropy (mmnet: 1)"
    )
    lambda_laplacian_loss: Optional[float] = setting(
        None, not_negative, "weight of the Laplacian pyramid term (mmnet: 0)"
    )
    lambda_focal_loss: Optional[float] = setting(
        None, not_negative, "weight of the focal term (mmnet: 0)"
    )
    lambda_boundary_loss: Optional[float] = setting(
        None, not_negative, "weight of the boundary term (mmnet: 0)"
    )
    lambda_dice_loss: Optional[float] = setting(
        None, not_negative, "weight of the Dice term, of areas that are shared (mmnet: 0)"
    )
    lambda_square_loss: Optional[float] = setting(
        None, not_negative, "weight of the mean square difference of alpha (mmnet: 0)"
    )
    lambda_semantic_loss: Optional[float] = setting(
        None, not_negative, "weight of modnet's head of where the person is (modnet: 1)"
    )
    lambda_detail_loss: Optional[float] = setting(
        None, not_negative, "weight of modnet's head of the outline (modnet: 1)"
    )
    lambda_matte_loss: Optional[float] = setting(
        None, not_negative, "weight of alpha and composition, most at the outline (modnet: 1)"
    )
    composition_range: float = setting(
        1.0,
        positive_float,
        "highest value the composition term takes a picture to have; the published code divided by "
        "255 twice, which is 255 here",
    )
    batch_norm_decay: float = setting(
        0.999,
        decay,
        "of batch norm's moving statistics, a step; lower in the first steps from scratch",
    )
    freeze_batch_norm: bool = setting(
        False,
        switch,
        "keep the moving statistics of a trained network and train with them, as they are used in "
        "the end: for the last steps of a training",
    )
    quantize: bool = setting(
        False,
        switch,
        "make a trained network ready for 8 bits: round weights and activations as int8 does, keep "
        "batch norm's moving statistics, learn the activations' ranges",
    )
    use_ema: bool = setting(
        False, switch, "keep an exponential moving average of the weights beside them"
    )
    ema_decay: float = setting(0.999, decay, "of that average, a step")
    max_step_from_restore: Optional[int] = setting(None, positive_int, "stop after so many steps")
    max_epoch_from_restore: Optional[float] = setting(
        None, positive_float, "stop after so many epochs"
    )
    step_save_checkpoint: int = setting(500, positive_int, "steps between two checkpoints")
    step_save_summaries: int = setting(
        100, positive_int, "steps between two lines of the log and TensorBoard points"
    )
    max_to_keep: int = setting(5, positive_int, "checkpoints to keep in TRAIN_DIR")

    def check(self):
        super().check()
        data_sets = len(self.dataset_path or ()) + len(self.pictures_path or ())
        if self.dataset_weights and len(self.dataset_weights) != data_sets:
            raise ValueError(
                "--dataset_weights: one number for each of the %d data sets, not %d"
                % (data_sets, len(self.dataset_weights))
            )
        self.check_teacher()
        goes_on = os.path.isdir(self.train_dir) and checkpoint_files.list_checkpoints(
            self.train_dir
        )
        if self.checkpoint_path and not goes_on:  # a run that goes on no longer needs its parent
            kind = find_source(self.checkpoint_path).kind
            if kind != "checkpoint":
                raise ValueError(
                    "--checkpoint_path %s is %s: a warm start takes a checkpoint"
                    % (self.checkpoint_path, kind if kind == UNTRAINED else "a model file")
                )
        elif self.quantize and not goes_on:
            raise ValueError(
                "--quantize makes a trained network ready for 8 bits: give its checkpoint with "
                "--checkpoint_path"
            )
        elif (self.adapt or self.freeze_batch_norm) and not goes_on:
            raise ValueError(
                "%s goes on with a trained network: give its checkpoint with --checkpoint_path"
                % ("--adapt" if self.adapt else "--freeze_batch_norm")
            )

    def check_teacher(self):
        """What masks are learnt from, or what else."""
        if not self.dataset_path and not self.pictures_path:
            raise ValueError("--dataset_path is needed: folders that hold SPLIT/image, SPLIT/mask")
        if self.adapt:
            if not self.pictures_path or self.dataset_path or self.teacher or self.quantize:
                raise ValueError(
                    "--adapt learns from pictures without masks: give --pictures_path, and no "
                    "--dataset_path, --teacher or --quantize"
                )
        elif self.teacher:
            find_source(self.teacher)
        else:
            for name in ("teacher_temperature", "lambda_teacher_loss", "pictures_path"):
                if getattr(self, name) not in (None, 1.0):
                    raise ValueError("--%s needs a --teacher" % name)


@dataclass(frozen=True)
class Launch(Settings):
    """Train with several processes: mmnet launch --processes 2 -- train ...

    Each computes gradients of its part of every batch, and all move by their mean: as one process
    would with the whole batch. On one machine; or on several, where the same command runs on each
    and --hosts, TF_CONFIG or Slurm says which there are. Where a process dies or stands still, all
    end within half a minute, with a line that names it.
    """

    command: Tuple[str, ...] = setting(
        NEEDED, text, "what each process runs, after --: train and its flags", "+", positional=True
    )
    processes: int = setting(1, positive_int, "on each machine: one a GPU or chip, usually")
    hosts: Optional[Tuple[str, ...]] = setting(
        None,
        text,
        "the machines, HOST or HOST:PORT, the same list on each (default: TF_CONFIG's or Slurm's, "
        "or this one alone)",
        "+",
    )
    host_index: Optional[int] = setting(
        None,
        whole_number,
        "which of them this is, from 0 (default: Slurm's, Kubernetes's, or by its name)",
    )
    port: int = setting(
        PORT, port_number, "of several machines: the first that each listens on; two a process"
    )
    restarts: int = setting(
        0, whole_number, "after a failure, start again from the last checkpoint, so many times"
    )

    def check(self):
        super().check()
        if self.command[0] != "train":
            raise ValueError(
                "launch runs train, not %r (predict and evaluate take --shard I/N instead)"
                % self.command[0]
            )


@dataclass(frozen=True)
class Evaluate(DataSetSettings, SourceSettings, CareSettings, DeviceSettings, JsonSettings):
    """Score a checkpoint or a model on a data set: MAD and gradient error.

    Both are measured at the network's size and at the target shape.
    """

    dataset_path: Tuple[str, ...] = setting(
        NEEDED, data_set_folder, "folders that hold SPLIT/image and SPLIT/mask", "+"
    )
    # Looked at in check: a loop may watch a folder before its first checkpoint is there.
    checkpoint_path: str = setting(DEFAULT, text, SOURCE, alias="model")
    valid_type: str = setting(
        "once",
        one_of("once", "loop"),
        "once, or loop: every checkpoint of the folder, also those that appear later; what is "
        "already scored is not computed again",
    )
    watch_timeout: Optional[float] = setting(
        None,
        timespan,
        "end the loop after this time without a new checkpoint (90s, 10m, 2h); without it, it goes "
        "on until Ctrl-C",
    )
    target_eval_shape: Tuple[int, int] = setting(
        (800, 600), positive_int, "second shape to score at: height width in pixels", 2
    )
    batch_size: int = setting(8, positive_int, "pictures in one run of the network")
    all_metrics: bool = setting(
        False, switch, "also SAD, MSE, Grad, Conn and mIoU at the target shape"
    )
    as_photos: bool = setting(
        False,
        switch,
        "score what mmnet predict gives for each picture, not one run of the network alone",
    )
    as_clips: bool = setting(
        False,
        switch,
        "the pictures are frames of clips, CLIP_0001, CLIP_0002, ...: score them in their order, "
        "and how steady alpha is (dtSSD)",
    )
    temporal_filter: str = setting(
        "none",
        one_of("none", "exponential", "motion"),
        "with --as_clips, how each alpha follows from the one before: none (the network alone), "
        "exponential (smoothing), motion (smoothing along the motion, as mmnet predict does it)",
    )
    worst: int = setting(5, whole_number, "how many of the worst pictures to name")
    shard: Optional[Shard] = setting(
        None,
        shard,
        "score one of N parts of the pictures, I/N: 0/8 to 7/8, each elsewhere; scores that lie in "
        "--output already are not computed again",
    )
    merge_shards: Optional[int] = setting(
        None, positive_int, "put the scores of all N parts together, from --output"
    )
    compare: Optional[Tuple[str, ...]] = setting(
        None, source, "score these sources, too, and compare them picture by picture", "+"
    )
    report: Optional[str] = setting(
        None,
        text,
        "also write this page (.html): scores, histograms, comparisons, the worst and the best "
        "pictures; it needs no network",
    )
    output: Optional[str] = setting(
        None,
        text,
        "folder for scores, TensorBoard events and the best checkpoints (default: the "
        "checkpoint's folder; scores of a model file are printed only)",
    )

    def check(self):
        super().check()
        if not self.as_photos and (self.no_second_look or self.no_refinement):
            raise ValueError("--no_second_look and --no_refinement go with --as_photos")
        if self.temporal_filter != "none" and not self.as_clips:
            raise ValueError("--temporal_filter goes with --as_clips")
        if self.as_clips and (
            self.as_photos
            or self.all_metrics
            or self.output
            or self.valid_type == "loop"
            or self.compare
            or self.report
        ):
            raise ValueError(
                "--as_clips prints MAD and dtSSD: it takes no --as_photos, --all_metrics, "
                "--output, --compare, --report or --valid_type loop"
            )
        if self.valid_type == "loop" and self.compare:
            raise ValueError("--compare goes with --valid_type once")
        height, width = self.target_eval_shape
        what = "scoring %d pictures at %s" % (self.batch_size, shape_text((height, width)))
        need_memory(what, 2 * self.batch_size * height * width * SCORING_BYTES)
        if self.valid_type == "loop":
            if not os.path.isdir(self.checkpoint_path):
                raise FileNotFoundError(
                    "a loop watches a folder of checkpoints, and %s is none" % self.checkpoint_path
                )
        else:
            find_source(self.checkpoint_path)


@dataclass(frozen=True)
class Predict(SourceSettings, PhotoSettings, DeviceSettings, JsonSettings):
    """Cut the person out of photos and clips: alpha, RGBA cut-out, composition, at full size.

    A photo whose sides differ by no more than a factor of two is squeezed into the network's input,
    as in training; one that is wider or higher is first extended by mirroring at its borders. A
    second run looks closer at the part that holds the people. EXIF orientation is applied. Folders
    are searched with their sub-folders, which the output mirrors. A clip keeps its time stamps and
    its sound. The exit code is 1 where some photos, or parts of a clip, could not be read, and 2
    where none could.
    """

    photos: Tuple[str, ...] = setting(
        NEEDED,
        text,
        "photos, clips and folders of them (jpg, png, webp; heic and avif with pillow-heif; mp4, "
        "mov, webm, mkv, avi with PyAV), or .txt files that list them, one a line; - reads one "
        "photo from standard input",
        "+",
        positional=True,
    )
    checkpoint_path: Optional[str] = setting(
        None, source, "%s (default: %s; of clips %s)" % (SOURCE, DEFAULT, VIDEO), alias="model"
    )
    output: str = setting(
        NEEDED,
        text,
        "folder to write to (clips: STEM_cutout.webm and so on); of one clip, the file: .webm or "
        ".mov (with alpha), .mp4, or frames/%05d.png; - writes one picture to standard output",
    )
    background: Optional[str] = setting(
        None, text, "compose over this: a colour (#rrggbb or a name), a picture, a clip, or blur"
    )
    write: Optional[Tuple[str, ...]] = setting(
        None,
        one_of("alpha", "cutout", "composition", "side-by-side"),
        "what to write: alpha, cutout, composition, side-by-side (default: alpha, cutout and, with "
        "--background, composition; of a clip cutout or, with --background, composition)",
        "+",
    )
    temporal_filter: str = setting(
        "motion",
        one_of("none", "exponential", "motion"),
        "how a clip's alphas are made steady: none, exponential (smoothing) or motion (smoothing "
        "along the motion)",
    )
    jobs: Optional[int] = setting(
        None,
        positive_int,
        "photos at a time, whose network runs take turns (default: one a processor, at most 4)",
    )
    shard: Optional[Shard] = setting(
        None, shard, "of very many photos take one of N parts, I/N: 0/8 to 7/8, each elsewhere"
    )
    resume: bool = setting(
        False, switch, "pass over photos whose results are there already, and no older than they"
    )
    tar: Optional[int] = setting(
        None, positive_int, "write tar files of the results of so many photos each, in --output"
    )


@dataclass(frozen=True)
class Demo(SourceSettings, PhotoSettings, DeviceSettings):
    """Open a page in the browser: a photo, or what the camera sees, cut out on this machine.

    Nothing is fetched for the page, and nothing leaves the machine; others reach it only where
    --host says so. What is uploaded lies in a temporary folder for an hour at most. Ctrl-C ends it.
    """

    checkpoint_path: Optional[str] = setting(
        None,
        source,
        "%s (default: %s; of the camera %s); the page offers all weights by name that lie here"
        % (SOURCE, DEFAULT, VIDEO),
        alias="model",
    )
    host: str = setting(
        "127.0.0.1", text, "address to listen at; 0.0.0.0 lets others reach the page, by any way"
    )
    port: int = setting(7860, port_number, "to listen at; 0: one that is free")
    upload_limit: int = setting(
        50 << 20, size_in_bytes, "the largest picture that is taken; a larger one is refused"
    )


@dataclass(frozen=True)
class Freeze(CheckpointSettings, FormSettings, OptionalDataSetSettings, JsonSettings):
    """Write a checkpoint as one frozen graph (.pb): weights inside, input input_x, output output.

    The graph is run beside the checkpoint and handed over, with its card (.json), only where the
    alphas agree to 1e-5 (1e-4 with batch norm folded, whose weights are rounded again); else
    nothing is written and the exit code is 1. TensorFlow 1.15 loads it, whichever TensorFlow wrote
    it.
    """

    output: str = setting(NEEDED, text, "the .pb to write")
    graph: Optional[str] = setting(
        None, text, "also write the graph with its variables, without weights, to this .pb"
    )
    fold_batch_norm: bool = setting(False, switch, "multiply batch norm into the convolutions")
    output_type: str = setting(
        "probabilities",
        one_of("probabilities", "alpha", "logits"),
        "what the output holds: probabilities (channel 1 is alpha), alpha, or logits",
    )


@dataclass(frozen=True)
class Export(CheckpointSettings, FormSettings, OptionalDataSetSettings, JsonSettings):
    """Write a checkpoint as SavedModel, TFLite, ONNX or frozen graph, each with a card (.json).

    Batch norm is folded. Every model is run beside the checkpoint, and all are handed over only
    where the alphas agree: float32 to 1e-4, float16 to 1e-3 in the mean, dynamic and int8 to 1e-2
    in the mean; else nothing is written and the exit code is 1.
    """

    format: Tuple[str, ...] = setting(
        NEEDED,
        one_of("savedmodel", "tflite", "onnx", "pb", "web"),
        "savedmodel, tflite, onnx, pb, web (a page that runs it in the browser): one or several",
        "+",
    )
    output: str = setting(
        NEEDED,
        text,
        "folder to write savedmodel/, NETWORK_PRECISION.tflite, NETWORK.onnx, NETWORK.pb, web/ to",
    )
    precision: str = setting(
        "float32",
        one_of("float32", "float16", "dynamic", "int8"),
        "of tflite: float32, float16 (weights), dynamic (weights of 8 bit) or int8 (everything); "
        "the others are float32",
    )
    io: str = setting(
        "float", one_of("float", "uint8"), "what an int8 model takes and gives: float or uint8"
    )
    calibration_dataset: Optional[str] = setting(
        None,
        data_set_folder,
        "int8: folder that holds SPLIT/image and SPLIT/mask, to measure ranges on",
    )
    calibration_split: str = setting("train", text, "its SPLIT, of training pictures")
    calibration_pictures: int = setting(100, positive_int, "how many of them, evenly spread")
    calibration_method: str = setting(
        "minmax",
        one_of("minmax", "entropy"),
        "minmax: from the lowest value to the highest; entropy: clipped where it costs least "
        "information (Kullback-Leibler)",
    )
    output_type: str = setting(
        "alpha",
        one_of("probabilities", "alpha", "logits"),
        "what the output holds: probabilities (channel 1 is alpha), alpha, or logits",
    )


@dataclass(frozen=True)
class Parity(DataSetSettings, CheckpointSettings, JsonSettings):
    """Compare models with the checkpoint they were made of: alphas, scores, bytes, operations.

    The exit code is 1 where a model differs by more than mmnet export lets pass: float32 by 1e-4,
    float16 (and what an .om gave, which computes in it) by 1e-3 in the mean, dynamic and int8 by
    1e-2 in the mean.
    """

    models: Tuple[str, ...] = setting(
        NEEDED,
        text,
        ".pb, .tflite, .onnx, SavedModels' folders, and folders that msame or ais_bench wrote",
        "+",
        positional=True,
    )
    output_type: str = setting(
        "probabilities",
        one_of("probabilities", "alpha", "logits"),
        "what the files in folders of msame or ais_bench hold",
    )
    batch_size: int = setting(8, positive_int, "pictures in one run of the network")


@dataclass(frozen=True)
class Benchmark(NetworkSettings, DeviceSettings, JsonSettings):
    """Measure how long models take: latency of a batch, images/s, memory, what they compute.

    Every model runs in a process of its own and they take turns; "time / first" is each one's time
    over that of the model named first. --train and --input measure a training step, and the input
    of training alone, against a plain baseline; --adb measures on an Android phone.
    """

    models: Tuple[str, ...] = setting(
        (),
        source,
        ".pb, .tflite, .onnx, SavedModels' folders, checkpoints and names of weights; without any, "
        "the weights that come with mmnet",
        "*",
        positional=True,
    )
    threads: Tuple[int, ...] = setting((1,), positive_ints, "numbers of threads, such as 1,2")
    batch: Optional[Tuple[int, ...]] = setting(
        None,
        positive_ints,
        "pictures a run, such as 1,8,32 (default: 1; 32 with --train and --input)",
    )
    seconds: float = setting(5.0, positive_float, "to measure each model for")
    train: bool = setting(False, switch, "measure training steps on --dataset_path instead")
    input: bool = setting(False, switch, "measure the input of training on --dataset_path instead")
    turns: int = setting(
        10, positive_int, "--train, --input: how often ours and the baseline take turns"
    )
    dataset_path: Optional[Tuple[str, ...]] = setting(
        None,
        data_set_folder,
        "--train, --input: folder that holds SPLIT/image and SPLIT/mask; --input: one or several",
        "+",
    )
    dataset_split_name: str = setting("train", text, "SPLIT, the folder below it")
    adb: Optional[str] = setting(
        None,
        existing_file,
        "measure .tflite models on the phone that adb finds, with this program: TensorFlow Lite's "
        "benchmark_model for Android",
    )
    use_ema: bool = setting(False, switch, "checkpoints: take the moving averages of the weights")

    def largest_batch(self):
        return max(self.batch or (32 if self.train else 1,))

    def check(self):
        super().check()
        if self.train or self.input:
            self._check_training()
        elif self.dataset_path:
            raise ValueError("--dataset_path goes with --train and --input")
        elif self.device:
            raise ValueError("--device goes with --train: models are measured on the processor")

    def _check_training(self):
        if (self.train and self.input) or self.models or self.adb:
            raise ValueError(
                "--train and --input stand alone: no models, no --adb, and one of the two"
            )
        if not self.dataset_path:
            raise ValueError(
                "--dataset_path is needed: pictures to %s"
                % ("train on" if self.train else "prepare")
            )
        if self.train and len(self.dataset_path) > 1:
            raise ValueError("--train takes one --dataset_path; --input takes several")
        if len(self.batch or (32,)) != 1:
            raise ValueError("--batch: one number with --train and --input")


@dataclass(frozen=True)
class Info(JsonSettings):
    """Show the card of a checkpoint or a model: parameters, names, lineage, scores, the paper's."""

    path: str = setting(DEFAULT, source, SOURCE, positional=True)


@dataclass(frozen=True)
class Selfcheck(DataSetSettings, CheckpointSettings, DeviceSettings, JsonSettings):
    """Check that batch norm's moving statistics fit the weights.

    One batch goes through the network with its own statistics, as in training, and with the moving
    ones, as ever after, and is scored both ways: a run whose moving statistics broke does well in
    the one and badly in the other. The exit code is 1 where something is wrong; what, is printed.
    """

    batch_size: int = setting(8, positive_int, "pictures in the batch, the first of the split")


@dataclass(frozen=True)
class Temperature(DataSetSettings, CheckpointSettings, DeviceSettings, JsonSettings):
    """Find the temperature of a checkpoint: what its log odds of alpha are best multiplied by.

    The network runs once over a data set (one to choose by, not one to test on) and is scored at
    every temperature. With --output the best, the lowest whose MAD is within 1 % of the best, is
    folded into a new checkpoint: the classifier's weights are multiplied, and nothing is slower.
    """

    dataset_split_name: str = setting("val", text, "SPLIT, the folder below it")
    batch_size: int = setting(8, positive_int, "pictures in one run of the network")
    output: Optional[str] = setting(
        None, text, "prefix of the checkpoint to write, such as run/sharp/MMNetModel-1898000"
    )


@dataclass(frozen=True)
class Weights(JsonSettings):
    """Weights by name: list them, get some; means of checkpoints; weights of others converted.

    Every verb takes a name where it takes a checkpoint, and gets it then. They lie in $MMNET_HOME,
    by default mmnet in the user's cache. The mean of a run and of the run that it began with often
    scores better than either (Wortsman et al., "Model soups", ICML 2022). Converted are
    MODNet as its authors publish it (.ckpt) or as .onnx, and MobileNetV2's weights for ImageNet
    (TensorFlow's checkpoint of slim, Keras' .h5), which go into the encoder of deeplab or modnet.
    """

    action: str = setting(
        NEEDED,
        one_of("list", "get", "average", "convert"),
        "list; get NAME ...; average CHECKPOINT CHECKPOINT ... --output PREFIX; convert FILE "
        "--network NAME --output PREFIX",
        positional=True,
    )
    names: Tuple[str, ...] = setting(
        (),
        text,
        "names to get, checkpoints to average, or the file to convert",
        "*",
        positional=True,
    )
    network: Optional[str] = setting(
        None, text, "convert: the network that the weights are for, modnet, deeplab, ..."
    )
    width_multiplier: Optional[float] = setting(
        None, positive_float, "convert: channel multiplier of that network (default: 1.0)"
    )
    use_ema: bool = setting(
        False, switch, "average: take the moving averages of those checkpoints that have some"
    )
    dataset_path: Optional[Tuple[str, ...]] = setting(
        None,
        data_set_folder,
        "average: measure batch norm's statistics anew on pictures of these data sets (train), as "
        "they are; of one checkpoint alone, too",
        "+",
    )
    output: Optional[str] = setting(
        None, text, "average, convert: prefix of the checkpoint to write"
    )

    def check(self):
        least, most = {"list": (0, 0), "get": (1, None), "average": (2, None), "convert": (1, 1)}[
            self.action
        ]
        if self.dataset_path:
            least = 1
            if self.action != "average":
                raise ValueError("--dataset_path goes with average")
        if len(self.names) < least or (most is not None and len(self.names) > most):
            raise ValueError(
                "mmnet weights list, get NAME ..., average CHECKPOINT CHECKPOINT ... --output "
                "PREFIX, or convert FILE --network NAME --output PREFIX"
            )
        if (self.action in ("average", "convert")) != (self.output is not None):
            raise ValueError(
                "--output goes with average and convert, which need it: a checkpoint's prefix"
            )
        if (self.action == "convert") != (self.network is not None):
            raise ValueError("--network goes with convert, which needs it: modnet, deeplab, ...")
        for name in self.names:
            if self.action == "get":
                need_name(name)
            elif self.action == "average" and find_source(name).kind != "checkpoint":
                raise ValueError("%s is no checkpoint" % name)


@dataclass(frozen=True)
class Synthesize(Settings):
    """Draw made-up portraits with their true soft alpha, as a data set."""

    dataset_path: str = setting(NEEDED, text, "folder to write SPLIT/image and SPLIT/mask into")
    dataset_split_name: str = setting("test", text, "SPLIT, the folder below it")
    pictures: int = setting(32, positive_int, "how many")
    seed: int = setting(0, seed_number, "the same seed draws the same portraits")
    shape: Tuple[int, int] = setting((800, 600), positive_int, "height width in pixels", 2)
    frames: int = setting(
        1, positive_int, "draw clips of so many frames, in which person and camera move"
    )
    looks: str = setting(
        PLAIN,
        one_of(*LOOKS),
        "plain: one upright person; varied: one or two of any size, with glasses, hats, beards, "
        "things in their hands, in any light",
    )
    backgrounds_path: Optional[str] = setting(
        None, pictures_folder, "varied: folder of pictures without people to put them before"
    )

    def check(self):
        super().check()
        threads, (height, width) = os.cpu_count() or 1, self.shape
        if self.backgrounds_path and self.looks == PLAIN:
            raise ValueError("--backgrounds_path goes with --looks varied")
        if self.looks == VARIED and self.frames > 1:
            raise ValueError("--looks varied draws pictures; clips (--frames) are plain")
        what = "drawing portraits of %s" % shape_text(self.shape)
        need_memory(what, threads * height * width * DRAWING_BYTES)


@dataclass(frozen=True)
class Data(JsonSettings):
    """Data sets of others made into ours; what a data set holds; its split anew.

    convert --from LAYOUT SOURCE TARGET writes TARGET/SPLIT/{image,mask} and a manifest with hashes
    and the note on the licence. Files are hard links where that can be; the source is never
    changed. What was interrupted goes on. A data set without splits becomes train; with
    --split_ratio, near-duplicates stay on one side.

    check ROOT ... reads every pair of every split: sizes, shares of person and of soft pixels,
    masks that look wrong, files that cannot be read, and photos that lie in two places. The exit
    code is 1 where files cannot be used, or a photo lies in two splits or data sets.

    split SOURCE TARGET splits a data set of ours anew, into train and test.

    pack SOURCE TARGET writes the splits of a data set of ours as TFRecord shards, for storage that
    dislikes small files; every verb takes TARGET as a data set.
    """

    action: str = setting(
        NEEDED,
        one_of("convert", "check", "split", "pack"),
        "convert --from LAYOUT SOURCE TARGET; check ROOT ...; split or pack SOURCE TARGET",
        positional=True,
    )
    paths: Tuple[str, ...] = setting(
        NEEDED, text, "SOURCE TARGET, or the ROOTs to check", "+", positional=True
    )
    layout: Optional[str] = setting(
        None,
        one_of(*LAYOUTS),
        "convert: how the source lies: %s" % ", ".join(LAYOUTS),
        alias="from",
    )
    images: Optional[str] = setting(
        None, text, "convert labels, pairs, eg1800, rgba: folder of the images, below SOURCE"
    )
    masks: Optional[str] = setting(
        None, text, "convert labels, pairs, eg1800: folder of the masks, below SOURCE"
    )
    ids: Optional[Tuple[int, ...]] = setting(
        None, positive_ints, "convert labels: those that are the person, such as 1,2 (default: all)"
    )
    backgrounds_path: Optional[str] = setting(
        None, pictures_folder, "convert rgba: folder of pictures that the cut-outs are put before"
    )
    split_ratio: Optional[float] = setting(
        None, share, "convert, split: share of the pictures that are for testing (split: 0.1)"
    )
    seed: int = setting(0, seed_number, "convert, split: another one splits otherwise")
    copies: bool = setting(False, switch, "convert, split: copies in place of hard links")
    shards: int = setting(8, positive_int, "pack: files of each split")
    report: Optional[str] = setting(
        None, text, "check: also write this page (HTML), with the pictures it is about"
    )

    def check(self):
        super().check()
        if self.action != "check" and len(self.paths) != 2:
            raise ValueError("mmnet data %s takes SOURCE TARGET" % self.action)
        if (self.action == "convert") != (self.layout is not None):
            raise ValueError("mmnet data convert --from LAYOUT SOURCE TARGET; nothing else has it")
        if self.report is not None and self.action != "check":
            raise ValueError("--report goes with mmnet data check")


@dataclass(frozen=True)
class Doctor(JsonSettings):
    """What of all that mmnet can use is here, and what the rest would take.

    The exit code is 1 where the weights in the box do not run.
    """


@dataclass(frozen=True)
class Completion(Settings):
    """Make a shell complete verbs, flags, presets and weights by name.

    bash, zsh: put ``eval "$(mmnet completion bash)"`` into ~/.bashrc or ~/.zshrc (zsh). fish:
    ``mmnet completion fish > ~/.config/fish/completions/mmnet.fish``.
    """

    shell: str = setting(
        NEEDED, one_of("bash", "zsh", "fish"), "bash, zsh or fish", positional=True
    )


VERBS = {
    "train": Train,
    "launch": Launch,
    "evaluate": Evaluate,
    "predict": Predict,
    "demo": Demo,
    "freeze": Freeze,
    "export": Export,
    "parity": Parity,
    "benchmark": Benchmark,
    "info": Info,
    "selfcheck": Selfcheck,
    "temperature": Temperature,
    "weights": Weights,
    "synthesize": Synthesize,
    "data": Data,
    "doctor": Doctor,
    "completion": Completion,
}
