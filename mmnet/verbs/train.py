"""The train verb."""

from mmnet.files import need_writable
from mmnet.training.train import train


def run(settings):
    need_writable("--train_dir", settings.train_dir)
    return train(settings)
