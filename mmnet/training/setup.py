"""Resolve the options of a training: network, device and datasets. No image is opened."""

import os
from typing import List, NamedTuple, Optional

from mmnet.datasets.pairs import Dataset
from mmnet.distributed.members import join_members
from mmnet.io import checkpoint_files
from mmnet.io.errors import MmnetError
from mmnet.networks.network import Network, make_network
from mmnet.tf.device import Device, check_device, check_precision
from mmnet.training.config import TrainingConfig, WarmStart
from mmnet.training.graph import Recipe
from mmnet.training.input import find_datasets
from mmnet.training.losses import ADAPTATION, select_loss_weights
from mmnet.weights.run_file import network_in, network_of_run, network_options
from mmnet.weights.source import find_source


class Setup(NamedTuple):
    """A training whose options are resolved."""

    config: TrainingConfig
    network: Network
    recipe: Recipe
    device: Device
    datasets: List[Dataset]
    last_step: Optional[int]  # counted from the restore; None: no limit


def resolve_training(config: TrainingConfig) -> Setup:
    """Resolve the network, the device and the datasets. It opens no image and builds no graph."""
    device = join_members(config.device)
    batch_size = config.data.batch_size
    if batch_size % device.processes:
        raise MmnetError(
            f"{batch_size}: must be a multiple of the number of processes, {device.processes}",
            "batch_size",
        )
    check_device(device)
    check_precision(device)
    warm_start = None
    if config.warm_start is not None and not find_own_checkpoints(config.train_dir):
        source = find_source(config.warm_start.source)
        warm_start = config.warm_start._replace(source=source.path)
    network = resolve_network(config, warm_start)
    options = dict(config.options, **network_options(network))
    config = config._replace(warm_start=warm_start, options=options)

    recipe, adapts = config.recipe, config.recipe.loss_weights == ADAPTATION
    if not adapts:
        weights = select_loss_weights(network, recipe.loss_weights)
        recipe = recipe._replace(loss_weights=weights)
    needs_masks = config.teacher is None and not adapts
    datasets = find_datasets(config.data, needs_masks=needs_masks)
    last_step = config.schedule.last_step(sum(map(len, datasets)), batch_size)
    return Setup(config, network, recipe, device, datasets, last_step)


def find_own_checkpoints(train_dir: str) -> List[str]:
    """Return the checkpoints in the folder of a training, lowest step first."""
    return checkpoint_files.list_checkpoints(train_dir) if os.path.isdir(train_dir) else []


def resolve_network(config: TrainingConfig, warm_start: Optional[WarmStart]) -> Network:
    """Return the network: options override config.yaml of the training, then the warm start."""
    fields = network_of_run(warm_start.source) if warm_start is not None else {}
    fields.update(network_in(os.path.join(config.train_dir, checkpoint_files.RUN_FILE)))
    return make_network(config.network_fields, fields)
