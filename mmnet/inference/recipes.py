"""Signatures of models that many people use. `mmnet card --like NAME` applies them."""

from typing import Any, Dict, NamedTuple

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


class Recipe(NamedTuple):
    """Fields of a Signature, and the page of the authors that states them."""

    fields: Dict[str, Any]
    page: str


MEDIAPIPE = "https://github.com/google-ai-edge/mediapipe/tree/master/mediapipe/modules/"
RECIPES = {
    "mediapipe-selfie": Recipe({"shape": (256, 256)}, MEDIAPIPE + "selfie_segmentation"),
    "mediapipe-landscape": Recipe({"shape": (144, 256)}, MEDIAPIPE + "selfie_segmentation"),
    "modnet": Recipe(
        {**HALF, "layout": "nchw", "shape": (512, 512), "resizing": "keep", "multiple": 32},
        "https://github.com/ZHKKKe/MODNet/blob/master/onnx/inference_onnx.py",
    ),
    "u2net": Recipe(
        {**IMAGENET, "layout": "nchw", "shape": (320, 320)},
        "https://github.com/danielgatis/rembg/blob/main/rembg/sessions/u2net_human_seg.py",
    ),
    "isnet": Recipe(
        {"mean": (0.5, 0.5, 0.5), "layout": "nchw", "shape": (1024, 1024)},
        "https://github.com/xuebinqin/DIS/blob/main/IS-Net/Inference.py",
    ),
    "rvm": Recipe(
        {
            "input": "src",
            "output": "pha",
            "layout": "nchw",
            "shape": (800, 800),
            "resizing": "keep",
            "states": {"r1i": "r1o", "r2i": "r2o", "r3i": "r3o", "r4i": "r4o"},
            "downsample": 512,
        },
        "https://github.com/PeterL1n/RobustVideoMatting/blob/master/documentation/inference.md",
    ),
    "pp-humanseg": Recipe(
        {
            **HALF,
            "layout": "nchw",
            "shape": (192, 192),
            "output_kind": "two_class_logits",
            "channel": 1,
        },
        "https://github.com/opencv/opencv_zoo/tree/main/models/human_segmentation_pphumanseg",
    ),
}
