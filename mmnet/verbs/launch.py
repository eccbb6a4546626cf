"""The launch verb."""

from mmnet.cluster.launch import launch
from mmnet.cluster.members import plan


def run(settings):
    return launch(plan(settings), settings)
