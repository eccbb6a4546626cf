"""Cards of model files."""

import json

from mmnet.inference.card import card_path, model_sha256

CARD_OF_0_1 = {  # has no "network" and no factor of the logits
    "path": "models/mmnet_float32.tflite",
    "format": "tflite",
    "precision": "float32",
    "input": "input_x float32 [1,64,64,3]: RGB in 0..255",
    "output": "output float32 [1,64,64,1]: alpha in 0..1",
    "size": 64,
    "width_multiplier": 0.25,
    "preprocess": "inside",
    "output_type": "alpha",
    "checkpoint": "run/MMNetModel-5",
    "index_sha256": "c" * 64,
    "use_ema": False,
    "calibration": None,
    "tensorflow": "2.21.0",
    "parameters": 40000,
    "multiply_adds": 2000000,
    "operations": {"CONV_2D": 57, "DEPTHWISE_CONV_2D": 49},
    "bytes": 5,
    "sha256": None,  # write_card fills it in
    "pictures": 4,
    "largest_difference": 1e-6,
    "mean_difference": 1e-7,
}


def write_card(model, record):
    """Write a card with the hash of the model beside it, and return its content."""
    record = dict(record, sha256=model_sha256(str(model)))
    with open(card_path(str(model)), "w") as file:
        json.dump(record, file)
    return record
