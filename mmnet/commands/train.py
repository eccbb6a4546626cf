"""The train verb."""

import dataclasses
import os
from typing import Optional, Tuple

from mmnet.commands.flag_types import (
    dataset_folder,
    decay,
    fraction,
    image_folder,
    not_negative,
    one_of,
    positive_float,
    positive_int,
    seed_number,
    size_in_bytes,
    timespan,
    whole_number,
)
from mmnet.commands.options import CHECKPOINT, REQUIRED, SOURCE, DeviceOptions, NetworkOptions, flag
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.io.files import check_writable
from mmnet.training.train import train
from mmnet.weights.registry import UNTRAINED
from mmnet.weights.source import find_source


@dataclasses.dataclass(frozen=True)
class Options(NetworkOptions, DeviceOptions):
    """Train a network: from scratch, from another run, or on from where this run stopped.

    Where TRAIN_DIR holds a checkpoint, training goes on from its latest exactly as if it had not
    stopped. Else --checkpoint_path is a warm start: the global step goes on, the steps from restore
    start at 0. Else from scratch. Without --max_step_from_restore or --max_epoch_from_restore it
    goes on until Ctrl-C.
    """

    train_dir: str = flag(
        REQUIRED, help="folder for checkpoints, TensorBoard events and the configuration"
    )
    dataset_path: Optional[Tuple[str, ...]] = flag(
        None,
        dataset_folder,
        help="folders that hold SPLIT/image and SPLIT/mask; several are joined",
        nargs="+",
    )
    dataset_split_name: str = flag("train", help="SPLIT, the folder below each dataset")
    dataset_weights: Optional[Tuple[float, ...]] = flag(
        None,
        positive_float,
        help="how often each dataset is drawn from, one number each; without it, every picture alike",
        nargs="+",
    )
    augmentation_method: str = flag(
        "resize_random_scale_crop_flip_rotate",
        one_of("resize_bilinear", "resize_random_scale_crop_flip_rotate", "rich", "wide"),
        help="resize_bilinear, resize_random_scale_crop_flip_rotate (the published one), rich (that, "
        "and colours, noise, blur, ...), or wide (rich, and persons who do not fill the picture)",
    )
    teacher: Optional[str] = flag(
        None, help="learn this network's alphas, too (distillation): " + SOURCE
    )
    teacher_temperature: float = flag(
        1.0,
        positive_float,
        help="that divides the log odds of the teacher and of the network in that term; above 1 the "
        "network learns more of what the teacher is not sure of",
    )
    lambda_teacher_loss: Optional[float] = flag(
        None,
        not_negative,
        help="weight of the cross entropy with the teacher's alphas (with one: 1)",
    )
    pictures_path: Optional[Tuple[str, ...]] = flag(
        None,
        image_folder,
        help="folders of pictures without masks, each a further dataset: the teacher's alphas are "
        "their masks",
        nargs="+",
    )
    adapt: bool = flag(
        False,
        help="adapt a trained modnet to --pictures_path alone, by the consistency of its parts (SOC); "
        "its authors use --learning_rate 1e-5",
    )
    augmentation_strength: float = flag(
        1.0,
        not_negative,
        help="what the probabilities of rich's changes (colours, noise, blur, ...) are multiplied by; a "
        "small network that has seen much learns more from less of it",
    )
    backgrounds_path: Optional[str] = flag(
        None,
        image_folder,
        help="folder of pictures without people: the persons of some pictures are cut out and put "
        "before one of them, with a soft edge of their own colours",
    )
    swapped_backgrounds: float = flag(0.4, fraction, help="share of those pictures, 0 to 1")
    cache: str = flag(
        "memory",
        one_of("none", "memory", "disk"),
        help="where decoded pictures are kept: none, memory (on disk where they exceed --cache_budget) "
        "or disk",
    )
    cache_budget: int = flag(
        4 << 30, size_in_bytes, help="most memory for decoded pictures (500MB, 4GB, ...)"
    )
    batch_size: int = flag(
        32, positive_int, help="pictures a step; of several processes, of all of them together"
    )
    engine: str = flag(
        "tensorflow",
        one_of("tensorflow", "horovod", "hccl"),
        help="what adds up the gradients of several processes (mmnet launch): tensorflow's collectives, "
        "horovod where it is installed, or hccl on Ascend",
    )
    sync_batch_norm: bool = flag(
        False, help="of several processes: batch norm by the pictures of all, not by each one's own"
    )
    peer_timeout: float = flag(
        20.0,
        timespan,
        help="how long a process may be silent, or behind the others, before all end",
    )
    seed: int = flag(
        0, seed_number, help="of the weights, the order of the pictures and their augmentation"
    )
    precision_mode: str = flag(
        "allow_mix_precision",
        one_of("allow_fp32_to_fp16", "allow_mix_precision", "must_keep_origin_dtype", "force_fp16"),
        help="what the npu computes in float16 (other devices keep float32): allow_fp32_to_fp16, "
        "allow_mix_precision, must_keep_origin_dtype or force_fp16",
    )
    precision: str = flag(
        "float32",
        one_of("float32", "mixed_float16", "bfloat16"),
        help="what a GPU computes in: float32; mixed_float16 (convolutions in float16, batch norm's "
        "statistics and the loss in float32, the loss scaled); bfloat16",
    )
    xla: bool = flag(
        False,
        help="let XLA compile parts of the graph on a GPU (on processors it was 7 times slower)",
    )
    checkpoint_path: Optional[str] = flag(None, help="warm start: " + CHECKPOINT)
    checkpoint_include_scopes: Optional[Tuple[str, ...]] = flag(
        None, help="warm start: load only variables whose names start so", nargs="+"
    )
    checkpoint_exclude_scopes: Optional[Tuple[str, ...]] = flag(
        None, help="warm start: leave out variables whose names start so", nargs="+"
    )
    ignore_missing_vars: bool = flag(
        False,
        help="warm start: variables that are missing there, or have another shape, start fresh; without "
        "it they are an error",
    )
    reset_optimizer: bool = flag(False, help="warm start: leave the optimizer's slots out")
    trainable_scopes: Optional[Tuple[str, ...]] = flag(
        None, help="train only variables whose names start so", nargs="+"
    )
    optimizer: str = flag(
        "adam",
        one_of("adam", "gd", "momentum", "rmsprop"),
        help="adam, gd, momentum (.9) or rmsprop",
    )
    learning_rate: float = flag(1e-4, positive_float, help="at its peak")
    learning_rate_schedule: str = flag(
        "fixed",
        one_of("fixed", "step", "polynomial", "cosine"),
        help="fixed; step (x --learning_rate_decay each --learning_rate_decay_steps); polynomial or "
        "cosine (to 0 at the last step, which must be set)",
    )
    learning_rate_decay: float = flag(0.1, positive_float, help="factor of the step schedule")
    learning_rate_decay_steps: int = flag(
        100000, positive_int, help="steps of the step schedule between two decays"
    )
    learning_rate_power: float = flag(0.9, positive_float, help="power of the polynomial schedule")
    warm_up_steps: int = flag(
        0, whole_number, help="steps from restore over which the rate rises from 0"
    )
    weight_decay: float = flag(
        4e-7, not_negative, help="of the convolutions' weights, half the square sum"
    )
    lambda_alpha_loss: Optional[float] = flag(
        None, not_negative, help="weight of the mean absolute difference of alpha (mmnet: 1)"
    )
    lambda_comp_loss: Optional[float] = flag(
        None, not_negative, help="weight of the composition term (mmnet: 1)"
    )
    lambda_grad_loss: Optional[float] = flag(
        None, not_negative, help="weight of the gradient term (mmnet: 1)"
    )
    lambda_kd_loss: Optional[float] = flag(
        None, not_negative, help="weight of the cross entropy with the true alpha (mmnet: 1)"
    )
    lambda_aux_loss: Optional[float] = flag(
        None, not_negative, help="weight of the auxiliary head's cross entropy (mmnet: 1)"
    )
    lambda_laplacian_loss: Optional[float] = flag(
        None, not_negative, help="weight of the Laplacian pyramid term (mmnet: 0)"
    )
    lambda_focal_loss: Optional[float] = flag(
        None, not_negative, help="weight of the focal term (mmnet: 0)"
    )
    lambda_boundary_loss: Optional[float] = flag(
        None, not_negative, help="weight of the boundary term (mmnet: 0)"
    )
    lambda_dice_loss: Optional[float] = flag(
        None, not_negative, help="weight of the Dice term, of areas that are shared (mmnet: 0)"
    )
    lambda_square_loss: Optional[float] = flag(
        None, not_negative, help="weight of the mean square difference of alpha (mmnet: 0)"
    )
    lambda_semantic_loss: Optional[float] = flag(
        None, not_negative, help="weight of modnet's head of where the person is (modnet: 1)"
    )
    lambda_detail_loss: Optional[float] = flag(
        None, not_negative, help="weight of modnet's head of the outline (modnet: 1)"
    )
    lambda_matte_loss: Optional[float] = flag(
        None, not_negative, help="weight of alpha and composition, most at the outline (modnet: 1)"
    )
    composition_range: float = flag(
        1.0,
        positive_float,
        help="highest value the composition term takes a picture to have; the published code divided by "
        "255 twice, which is 255 here",
    )
    batch_norm_decay: float = flag(
        0.999,
        decay,
        help="of batch norm's moving statistics, a step; lower in the first steps from scratch",
    )
    freeze_batch_norm: bool = flag(
        False,
        help="keep the moving statistics of a trained network and train with them, as they are used in "
        "the end: for the last steps of a training",
    )
    quantize: bool = flag(
        False,
        help="make a trained network ready for 8 bits: round weights and activations as int8 does, keep "
        "batch norm's moving statistics, learn the activations' ranges",
    )
    use_ema: bool = flag(
        False, help="keep an exponential moving average of the weights beside them"
    )
    ema_decay: float = flag(0.999, decay, help="of that average, a step")
    max_step_from_restore: Optional[int] = flag(None, positive_int, help="stop after so many steps")
    max_epoch_from_restore: Optional[float] = flag(
        None, positive_float, help="stop after so many epochs"
    )
    step_save_checkpoint: int = flag(500, positive_int, help="steps between two checkpoints")
    step_save_summaries: int = flag(
        100, positive_int, help="steps between two lines of the log and TensorBoard points"
    )
    max_to_keep: int = flag(5, positive_int, help="checkpoints to keep in TRAIN_DIR")

    def check(self):
        super().check()
        data_sets = len(self.dataset_path or ()) + len(self.pictures_path or ())
        if self.dataset_weights and len(self.dataset_weights) != data_sets:
            raise MmnetError(
                "--dataset_weights: one number for each of the %d datasets, not %d"
                % (data_sets, len(self.dataset_weights))
            )
        self.check_teacher()
        goes_on = os.path.isdir(self.train_dir) and checkpoint_files.list_checkpoints(
            self.train_dir
        )
        if self.checkpoint_path and not goes_on:  # a run that goes on no longer needs its parent
            kind = find_source(self.checkpoint_path).kind
            if kind != "checkpoint":
                raise MmnetError(
                    "--checkpoint_path %s is %s: a warm start takes a checkpoint"
                    % (self.checkpoint_path, kind if kind == UNTRAINED else "a model file")
                )
        elif self.quantize and not goes_on:
            raise MmnetError(
                "--quantize makes a trained network ready for 8 bits: give its checkpoint with "
                "--checkpoint_path"
            )
        elif (self.adapt or self.freeze_batch_norm) and not goes_on:
            raise MmnetError(
                "%s goes on with a trained network: give its checkpoint with --checkpoint_path"
                % ("--adapt" if self.adapt else "--freeze_batch_norm")
            )

    def check_teacher(self):
        """What masks are learnt from, or what else."""
        if not self.dataset_path and not self.pictures_path:
            raise MmnetError("--dataset_path is needed: folders that hold SPLIT/image, SPLIT/mask")
        if self.adapt:
            if not self.pictures_path or self.dataset_path or self.teacher or self.quantize:
                raise MmnetError(
                    "--adapt learns from pictures without masks: give --pictures_path, and no "
                    "--dataset_path, --teacher or --quantize"
                )
        elif self.teacher:
            find_source(self.teacher)
        else:
            for name in ("teacher_temperature", "lambda_teacher_loss", "pictures_path"):
                if getattr(self, name) not in (None, 1.0):
                    raise MmnetError("--%s needs a --teacher" % name)


def run(options):
    check_writable(options.train_dir, "train_dir")
    return train(options)
