"""Damaged input of every kind, by seed: a reader gives a value, or ValueError or OSError.

    python tests/fuzz.py SECONDS FOLDER     (sh scripts/fuzz.sh SECONDS)

goes on for so long and keeps in FOLDER whatever made a reader do anything else.
"""

import json
import logging
import os
import sys
import tempfile
import time
import traceback

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from mmnet.commands.presets import read_preset, resolve  # noqa: E402
from mmnet.datasets.pairs import Dataset, Pair  # noqa: E402
from mmnet.datasets.synthetic import draw_portrait  # noqa: E402
from mmnet.evaluation.records import Identity, read_best, read_evaluation  # noqa: E402
from mmnet.inference.card import parse_card  # noqa: E402
from mmnet.inference.replay import read_alpha  # noqa: E402
from mmnet.io.files import read_json  # noqa: E402
from mmnet.io.images import load_mask, read_image  # noqa: E402
from mmnet.training.lineage import read_lineage  # noqa: E402
from offline_infer.evaluate import read_manifest  # noqa: E402

EXPECTED = (ValueError, OSError)
SPLICES = (b"", b"\0", b"\xff" * 4, b"[" * 3000, b"{}", b"null", b"nan", b"-1", b'""', b"1e999")


def mutate(data, random):
    """Bytes with some flipped, cut, doubled or replaced."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, max(1, len(data)))
        kind = random.randint(5)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << random.randint(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + random.randint(1, 64)]
        elif kind == 3:
            data[at:at] = data[at : at + random.randint(1, 64)]
        else:
            data[at : at + random.randint(8)] = SPLICES[random.randint(len(SPLICES))]
    return bytes(data)


def seeds():
    """Name of a kind -> (ending of its file, whole bytes of it, reader of a path)."""
    image, alpha = draw_portrait(np.random.RandomState(0), (48, 36))
    grey = np.rint(alpha * 255).astype(np.uint8)
    pictures = {
        ending: cv2.imencode(ending, image)[1].tobytes() for ending in (".jpg", ".png", ".webp")
    }
    kinds = {"image" + ending: (ending, data, read_image) for ending, data in pictures.items()}
    kinds["mask"] = (".png", cv2.imencode(".png", grey)[1].tobytes(), load_mask)
    preset = b"size: 128\nlearning_rate: 1e-4\ntarget_eval_shape: [800, 600]\n"
    kinds["preset"] = (".yaml", preset, read_whole_preset)
    best = {"score": 0.5, "checkpoint": "run/MMNetModel-1", "pictures": "ab"}
    kinds["best"] = (".json", to_bytes(best), read_best)
    dataset = Dataset("d", "test", [Pair("a", "a.jpg", "a.png")])
    identity = Identity(
        network={"shape": [64, 64]},
        source=None,
        use_ema=False,
        logit_scale=1.0,
        as_photos=False,
        second_pass=True,
        refine_edges=True,
        device=None,
        target_eval_shape=[8, 6],
        all_metrics=False,
        pictures="ab",
    )
    record = {
        "identity": identity._asdict(),
        "scores": {"MAD/test": 0.25, "pictures": 1, "global_step": 3},
        "stems": ["a"],
        "image_scores": {"MAD/test": [0.25]},
    }
    kinds["scores"] = (
        ".json",
        to_bytes(record),
        lambda path: read_evaluation(path, dataset, None, identity),
    )
    card = {
        "network": {"name": "mmnet", "width_multiplier": 1.0, "shape": [64, 64], "channels": 3},
        "preprocess": "inside",
        "output_type": "alpha",
        "precision": "int8",
        "sha256": "ab",
        "operations": {"CONV_2D": 3},
    }
    kinds["card"] = (".json", to_bytes(card), lambda path: parse_card(read_json(path), path))
    trained = {"path": "d", "split": "s", "pictures": 1, "manifest_sha256": "a", "steps": 2}
    lineage = {"global_step": 1, "step_from_restore": 1, "data_sets": [trained], "parent": None}
    kinds["lineage"] = (".json", to_bytes(lineage), lambda path: read_lineage(path[:-5]))
    picture = {"stem": "a", "image": "a.jpg", "mask": "a.png", "sha256": "ab"}
    manifest = {"dataset_path": "d", "split": "test", "shape": [64, 64], "pictures": [picture]}
    kinds["manifest"] = (".json", to_bytes(manifest), read_manifest)
    alphas = np.full((8, 6), 0.5, np.float32)
    kinds["bin"] = (".bin", alphas.tobytes(), read_result)
    kinds["txt"] = (".txt", " ".join(["0.5"] * 48).encode(), read_result)
    with tempfile.TemporaryFile() as file:
        np.save(file, alphas)
        file.seek(0)
        kinds["npy"] = (".npy", file.read(), read_result)
    return kinds


def to_bytes(value):
    return json.dumps(value).encode()


def read_whole_preset(path):
    read_preset(path)
    resolve("train", {"dataset_path": [ROOT], "train_dir": "never made"}, path)


def read_result(path):
    return read_alpha(path, (8, 6), "alpha")


def try_one(folder, kind, data):
    """None where a reader does well on these bytes, else what went wrong."""
    ending, _, read = kind
    path = os.path.join(folder, "case" + ending)
    with open(path, "wb") as file:
        file.write(data)
    try:
        read(path)
    except EXPECTED as error:
        if "\n" in str(error).strip():
            return "a message of several lines: %s" % error
    except Exception:
        return traceback.format_exc()
    return None


def main(seconds, findings):
    logging.disable(logging.CRITICAL)
    kinds, found, done = seeds(), 0, 0
    end, seed = time.monotonic() + seconds, int(time.time())
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            seed += 1
            for name, kind in kinds.items():
                data = mutate(kind[1], np.random.RandomState(seed % (1 << 32)))
                problem, done = try_one(folder, kind, data), done + 1
                if problem:
                    found += 1
                    os.makedirs(findings, exist_ok=True)
                    with open(os.path.join(findings, "%s-%d%s" % (name, seed, kind[0])), "wb") as f:
                        f.write(data)
                    print("%s, seed %d: %s" % (name, seed, problem.strip().splitlines()[-1]))
    print(
        "%d inputs of %d kinds, %d findings%s"
        % (done, len(kinds), found, " in " + findings if found else "")
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2]))
