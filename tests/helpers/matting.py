"""Predictors with a known alpha."""

from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.networks.network import Network


def brightness(shape, seen=None):
    """A Predictor that needs no network. seen: a list, to which it adds what it sees."""

    def run(images):
        if seen is not None:
            seen.append(images)
        return images.mean(axis=3, keepdims=True) / 255

    return Predictor(run, Card(Network(shape=shape)))
