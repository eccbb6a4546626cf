"""The options of a training, and how they are resolved. No image is opened."""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from mmnet.datasets.pairs import Dataset
from mmnet.distributed.members import join_members
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network, make_network
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.tf.device import Device, check_device, check_precision
from mmnet.training.graph import Recipe
from mmnet.training.input import DataConfig, find_datasets
from mmnet.training.losses import ADAPTATION, select_loss_weights
from mmnet.training.restore import WarmStart
from mmnet.training.schedule import Schedule
from mmnet.weights.run_file import network_in, network_of_run, network_options
from mmnet.weights.source import find_source


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


class Setup(NamedTuple):
    """A training whose options are resolved."""

    config: TrainingConfig
    network: Network
    datasets: List[Dataset]
    last_step: Optional[int]  # counted from the restore; None: no limit


def resolve_training(config: TrainingConfig) -> Setup:
    """Resolve the network, the device and the datasets. It opens no image and builds no graph.

    The fields of Network come from the options, config.yaml of the training, or the warm start.
    """
    device, recipe = join_members(config.device), config.recipe
    batch_size = config.data.batch_size
    if batch_size % device.processes:
        raise MmnetError(
            f"{batch_size}: must be a multiple of the number of processes, {device.processes}",
            "batch_size",
        )
    check_device(device)
    check_precision(device)
    warm_start, fields = config.warm_start, {}
    if find_own_checkpoints(config.train_dir):
        warm_start = None
    if warm_start is not None:
        warm_start = warm_start._replace(source=find_source(warm_start.source).path)
        fields = network_of_run(warm_start.source)
    fields.update(network_in(os.path.join(config.train_dir, checkpoint_files.RUN_FILE)))
    network = make_network(config.network_fields, fields)
    if network.channels != 3 and recipe.mode is QUANTIZED_TRAINING:
        raise MmnetError(f"{network.channels}: only 3 can be quantized", "channels")

    adapts = recipe.loss_weights == ADAPTATION
    if not adapts:
        recipe = recipe._replace(loss_weights=select_loss_weights(network, recipe.loss_weights))
    datasets = find_datasets(config.data, needs_masks=config.teacher is None and not adapts)
    last_step = config.schedule.last_step(sum(map(len, datasets)), batch_size)
    options = dict(config.options, **network_options(network))
    config = config._replace(device=device, recipe=recipe, warm_start=warm_start, options=options)
    return Setup(config, network, datasets, last_step)


def find_own_checkpoints(train_dir: str) -> List[str]:
    """Return the checkpoints in the folder of a training, lowest step first."""
    return checkpoint_files.list_checkpoints(train_dir) if os.path.isdir(train_dir) else []
