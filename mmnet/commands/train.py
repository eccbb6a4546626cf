"""`mmnet train`: train a network."""

import dataclasses
import os
from functools import partial
from typing import Any, Dict, Optional, Tuple

from mmnet import __version__
from mmnet.commands.flag_types import (
    decay,
    existing_folder,
    fraction,
    not_negative,
    one_of,
    positive_float,
    positive_int,
    seed_number,
    source,
    whole_number,
)
from mmnet.commands.options import (
    CHECKPOINT,
    REQUIRED,
    SOURCES,
    DeviceOptions,
    NetworkOptions,
    data_flag,
    flag,
)
from mmnet.commands.presets import read_preset
from mmnet.commands.train_types import (
    CACHE_BUDGET,
    LOSS_PARAMETERS,
    LOSS_TERMS,
    NPU_PRECISIONS,
    assignment,
    check_text,
    parse_assignment,
    parse_cache,
    parse_schedule,
)
from mmnet.datasets.augmentation import POLICIES, AugmentOptions
from mmnet.io.checkpoint_files import RUN_FILE
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_writable
from mmnet.networks.layers import INFERENCE, TRAINING
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.tf.device import MIXED_PRECISIONS, Device
from mmnet.training.graph import OPTIMIZERS, Recipe
from mmnet.training.input import DataConfig
from mmnet.training.losses import ADAPTATION
from mmnet.training.restore import WarmStart
from mmnet.training.schedule import Schedule
from mmnet.training.setup import TrainingConfig, find_own_checkpoints
from mmnet.training.train import train
from mmnet.weights.registry import UNTRAINED
from mmnet.weights.source import is_model_file

MODES = {
    "train": TRAINING,
    "freeze_batch_norm": TRAINING._replace(batch_norm=INFERENCE.batch_norm),
    "quantize": QUANTIZED_TRAINING,
    "adapt": INFERENCE,
}

# These options may differ between the hosts of a training. Paths may differ, too, but not whether
# they are set.
LOCAL_OPTIONS = ("device", "train_dir", "cache")
LOCAL_PATHS = ("dataset_path", "backgrounds_path", "teacher", "checkpoint_path")

augmentation_flag = partial(flag, group="augmentation")
checkpoint_flag = partial(flag, group="checkpoints")
loss_flag = partial(flag, group="losses")
step_flag = partial(flag, group="optimization")


def term_flag(term: str) -> Any:
    """Declare the published flag of the weight of a loss term."""
    return loss_flag(None, not_negative, help=f"weight of the {term} loss")


@dataclasses.dataclass(frozen=True)
class Options(NetworkOptions, DeviceOptions):
    """Train a network, or resume a training.

    If TRAIN_DIR contains a checkpoint, training resumes from the latest one, exactly as if it had
    not stopped. Otherwise it starts from --checkpoint_path (a warm start), or from scratch. Without
    --max_step_from_restore or --max_epoch_from_restore it continues until Ctrl-C, which saves the
    state.
    """

    train_dir: str = flag(REQUIRED, help="folder for checkpoints, TensorBoard events, config.yaml")
    dataset_path: Tuple[str, ...] = flag(
        REQUIRED, existing_folder, nargs="+", help="datasets; with a teacher also folders of images"
    )
    dataset_split_name: str = data_flag("train", help="split of the datasets")
    dataset_weights: Optional[Tuple[float, ...]] = data_flag(
        None, positive_float, nargs="+", help="weight per dataset (default: its number of images)"
    )
    batch_size: int = data_flag(32, positive_int, help="images per step, summed over all processes")
    cache: str = data_flag(
        CACHE_BUDGET,
        check_text(parse_cache),
        help="none, disk, or the memory for decoded images, above which they are kept on disk",
        old_name="cache_budget",
    )
    seed: int = data_flag(0, seed_number, help="seed of weights, order of images and augmentation")
    augmentation_method: str = augmentation_flag(
        "resize_random_scale_crop_flip_rotate",
        one_of(*POLICIES),
        help="rich adds colours, noise and blur; wide also adds smaller and cropped people",
    )
    augmentation_strength: float = augmentation_flag(
        1.0, not_negative, help="factor of the probability of colours, noise and blur"
    )
    backgrounds_path: Optional[str] = augmentation_flag(
        None, existing_folder, help="folder of images without people, used as new backgrounds"
    )
    swapped_backgrounds: float = augmentation_flag(
        0.4, fraction, help="fraction of images with a new background"
    )
    mode: str = step_flag(
        "train", one_of(*MODES), help="quantize: for 8 bits; adapt: modnet, on images without masks"
    )
    optimizer: str = step_flag("adam", one_of(*OPTIMIZERS), help="optimizer")
    learning_rate: float = step_flag(1e-4, positive_float, help="highest learning rate")
    learning_rate_schedule: str = step_flag(
        "fixed",
        check_text(parse_schedule),
        help="fixed; cosine or polynomial[:POWER] (to 0 at the last step); step:STEPS[:FACTOR]",
    )
    warm_up_steps: int = step_flag(0, whole_number, help="steps in which the rate rises from 0")
    weight_decay: float = step_flag(4e-7, not_negative, help="factor of half the squared weights")
    trainable_scopes: Optional[Tuple[str, ...]] = step_flag(
        None, help="train only variables whose names start with these prefixes", nargs="+"
    )
    batch_norm_decay: float = step_flag(0.999, decay, help="decay of moving statistics per step")
    use_ema: bool = step_flag(False, help="keep an exponential moving average of the weights")
    ema_decay: float = step_flag(0.999, decay, help="decay of this average per step")
    max_step_from_restore: Optional[int] = step_flag(
        None, positive_int, help="stop after this number of steps"
    )
    max_epoch_from_restore: Optional[float] = step_flag(
        None, positive_float, help="stop after this number of epochs"
    )
    lambda_alpha_loss: Optional[float] = term_flag("alpha")
    lambda_comp_loss: Optional[float] = term_flag("composition")
    lambda_grad_loss: Optional[float] = term_flag("gradient")
    lambda_kd_loss: Optional[float] = term_flag("cross_entropy")
    lambda_aux_loss: Optional[float] = term_flag("auxiliary")
    loss_weights: Tuple[str, ...] = loss_flag(
        (),
        assignment(LOSS_TERMS, not_negative),
        nargs="+",
        help=f"weights of loss terms (default: by network): {', '.join(LOSS_TERMS)}",
    )
    loss_parameters: Tuple[str, ...] = loss_flag(
        (),
        assignment(LOSS_PARAMETERS, positive_float),
        nargs="+",
        help="NAME=X: composition_range divides the composition loss (255 in the published code); "
        "teacher_temperature softens the teacher loss (default: 1 for both)",
    )
    teacher: Optional[str] = loss_flag(
        None, source, help=f"network whose alphas are learned: {SOURCES}", join=True
    )
    checkpoint_path: Optional[str] = checkpoint_flag(
        None, help=f"warm start from this {CHECKPOINT}"
    )
    checkpoint_include_scopes: Optional[Tuple[str, ...]] = checkpoint_flag(
        None, help="warm start: load only variables with these prefixes", nargs="+"
    )
    checkpoint_exclude_scopes: Tuple[str, ...] = checkpoint_flag(
        (), help="warm start: skip variables with these prefixes", nargs="+"
    )
    ignore_missing_vars: bool = checkpoint_flag(
        False, help="warm start: initialize variables that are missing or have another shape"
    )
    reset_optimizer: bool = checkpoint_flag(
        False, help="warm start: do not load the optimizer's variables"
    )
    step_save_checkpoint: int = checkpoint_flag(500, positive_int, help="steps per checkpoint")
    step_save_summaries: int = checkpoint_flag(100, positive_int, help="steps per line of the log")
    max_to_keep: int = checkpoint_flag(5, positive_int, help="checkpoints to keep")
    precision: Optional[str] = flag(
        None,
        one_of("float32", *MIXED_PRECISIONS, *NPU_PRECISIONS),
        help="number format; the last four: npu (default: float32; npu: allow_mix_precision)",
        old_name="precision_mode",
        group="device",
    )
    sync_batch_norm: bool = flag(
        False, help="average batch-norm statistics over all processes", group="processes"
    )

    def check(self) -> None:
        super().check()
        if self.dataset_weights and len(self.dataset_weights) != len(self.dataset_path):
            raise MmnetError(
                f"--dataset_weights: {len(self.dataset_weights)} weights for "
                f"{len(self.dataset_path)} datasets; give one per dataset"
            )
        names = {*self.all_loss_weights(), *dict(map(parse_assignment, self.loss_parameters))}
        if self.teacher is None and {"teacher", "teacher_temperature"} & names:
            raise MmnetError("--loss_weights and --loss_parameters: teacher needs --teacher")
        if self.teacher is not None and self.mode == "adapt":
            raise MmnetError("--mode adapt and --teacher exclude each other")
        if not find_own_checkpoints(self.train_dir):  # a resumed training needs no warm start
            self.check_warm_start()

    def check_memory(self, training: bool = True) -> None:
        super().check_memory(training=training)

    def check_warm_start(self) -> None:
        """Raise an error if the mode needs a checkpoint, or if there is no such checkpoint."""
        path = self.checkpoint_path
        if path is None:
            if self.mode != "train":
                raise MmnetError(
                    f"--mode {self.mode}: needs a trained network in --checkpoint_path"
                )
        elif source(path) == UNTRAINED or is_model_file(path):
            raise MmnetError(f"--checkpoint_path {path}: must be a checkpoint")

    def all_loss_weights(self) -> Dict[str, float]:
        """Return the weights that the user gave, by term."""
        published = {
            "alpha": self.lambda_alpha_loss,
            "composition": self.lambda_comp_loss,
            "gradient": self.lambda_grad_loss,
            "cross_entropy": self.lambda_kd_loss,
            "auxiliary": self.lambda_aux_loss,
        }
        weights = {term: weight for term, weight in published.items() if weight is not None}
        for term, weight in map(parse_assignment, self.loss_weights):
            if term in weights:
                raise MmnetError(f"--loss_weights {term}: this term already has a weight")
            weights[term] = weight
        return weights

    def recipe(self) -> Recipe:
        """Return how a step computes its loss and its update."""
        weights = self.all_loss_weights()
        if self.teacher is not None:
            weights.setdefault("teacher", 1.0)
        return Recipe(
            loss_weights=ADAPTATION if self.mode == "adapt" else weights,
            weight_decay=self.weight_decay,
            optimizer=self.optimizer,
            trainable_scopes=self.trainable_scopes,
            ema_decay=self.ema_decay if self.use_ema else None,
            mode=MODES[self.mode],
            sync_batch_norm=self.sync_batch_norm,
            **dict(map(parse_assignment, self.loss_parameters)),
        )

    def schedule(self) -> Schedule:
        """Return the learning rate and the length of the training."""
        return parse_schedule(self.learning_rate_schedule)._replace(
            learning_rate=self.learning_rate,
            warm_up_steps=self.warm_up_steps,
            batch_norm_decay=self.batch_norm_decay,
            max_steps=self.max_step_from_restore,
            max_epochs=self.max_epoch_from_restore,
        )

    def data(self) -> DataConfig:
        """Return the training images."""
        cache, cache_budget = parse_cache(self.cache)
        return DataConfig(
            paths=self.dataset_path,
            split=self.dataset_split_name,
            weights=self.dataset_weights,
            batch_size=self.batch_size,
            policy=self.augmentation_method,
            augment=AugmentOptions(
                self.augmentation_strength, swap_probability=self.swapped_backgrounds
            ),
            backgrounds_path=self.backgrounds_path,
            cache=cache,
            cache_budget=cache_budget,
            seed=self.seed,
        )

    def make_device(self) -> Device:
        """Return the device. Formats of the npu do not change other devices."""
        if self.precision in NPU_PRECISIONS:
            return Device(self.device, precision_mode=self.precision)
        return Device(self.device, precision=self.precision or "float32")

    def identity(self) -> str:
        """Return a text that is equal in all processes of a training."""
        values = dataclasses.asdict(self)
        for name in LOCAL_OPTIONS:
            del values[name]
        for name in LOCAL_PATHS:
            values[name] = bool(values[name])
        return f"{__version__} {sorted(values.items())!r}"

    def config(self) -> TrainingConfig:
        """Return the training that these options describe."""
        warm_start = None
        if self.checkpoint_path is not None:
            warm_start = WarmStart(
                self.checkpoint_path,
                include_scopes=self.checkpoint_include_scopes,
                exclude_scopes=self.checkpoint_exclude_scopes,
                ignore_missing_vars=self.ignore_missing_vars,
                reset_optimizer=self.reset_optimizer,
            )
        return TrainingConfig(
            train_dir=self.train_dir,
            data=self.data(),
            recipe=self.recipe(),
            schedule=self.schedule(),
            network_fields=self.network_fields(),
            warm_start=warm_start,
            teacher=self.teacher,
            device=self.make_device(),
            steps_per_checkpoint=self.step_save_checkpoint,
            steps_per_summary=self.step_save_summaries,
            max_to_keep=self.max_to_keep,
            options=dataclasses.asdict(self),
            identity=self.identity(),
        )


def run(options: Options) -> int:
    check_writable(options.train_dir, "train_dir")
    run_file = os.path.join(options.train_dir, RUN_FILE)
    if os.path.lexists(run_file) and not find_own_checkpoints(options.train_dir):
        try:
            read_preset(run_file)
        except MmnetError as error:
            message = f"{error}; it belongs to another program, so use another folder"
            raise MmnetError(message, "train_dir") from None
    return train(options.config())
