"""The values that define a training. commands/train.py makes them from flags."""

from typing import Any, Dict, NamedTuple, Optional, Sequence

from mmnet.datasets.augmentation import AugmentOptions
from mmnet.tf.device import Device
from mmnet.training.graph import Recipe
from mmnet.training.schedule import Schedule


class DataConfig(NamedTuple):
    """Training images, their augmentation and their cache."""

    paths: Sequence[str]  # datasets, or folders with images without masks
    split: str = "train"
    weights: Optional[Sequence[float]] = None  # per dataset; None: shuffle all images together
    batch_size: int = 32  # images per step, summed over all processes
    policy: str = "resize_random_scale_crop_flip_rotate"  # a name of augmentation.POLICIES
    augment: AugmentOptions = AugmentOptions()
    backgrounds_path: Optional[str] = None
    cache: str = "memory"  # a name of cache.CACHES
    cache_budget: int = 4 << 30  # bytes of memory
    seed: int = 0  # for weights, order of images and augmentation


class WarmStart(NamedTuple):
    """The checkpoint from which a new training starts, and which of its variables to load."""

    source: str  # prefix, folder or name of weights
    include_scopes: Optional[Sequence[str]] = None  # prefixes of variable names; None: all
    exclude_scopes: Sequence[str] = ()
    ignore_missing_vars: bool = False  # initialize variables that are missing or have other shapes
    reset_optimizer: bool = False  # do not load the optimizer's slots


class TrainingConfig(NamedTuple):
    """A training."""

    train_dir: str
    data: DataConfig
    recipe: Recipe = Recipe()
    schedule: Schedule = Schedule()
    network_fields: Dict[str, Any] = {}  # fields of Network that override the checkpoint's
    warm_start: Optional[WarmStart] = None
    teacher: Optional[str] = None  # source of a network whose alphas are learned
    device: Device = Device()
    steps_per_checkpoint: int = 500
    steps_per_summary: int = 100
    max_to_keep: int = 5  # checkpoints
    options: Dict[str, Any] = {}  # recorded in config.yaml, lineage and TensorBoard
    identity: str = ""  # must be equal in all processes of the training
