"""Tests of offline_infer/evaluate.py against mmnet.evaluation."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT, assert_message, assert_raises
from helpers.results import SHAPE, copy_portraits, write_results
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.evaluation.evaluate import evaluate
from mmnet.evaluation.report import format_evaluation
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.io.errors import MmnetError
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network

sys.path.append(ROOT)
from offline_infer import datapre  # noqa: E402
from offline_infer import evaluate as offline_evaluate  # noqa: E402

TALL = (96, 64)
TARGET = (100, 75)


def write_manifest(dataset, output, shape):
    """Run datapre. Return the path of the manifest."""
    folder = datapre.write_inputs(dataset, str(output), datapre.InputFormat(shape))
    return os.path.join(folder, "manifest.json")


@pytest.mark.parametrize("script", ["datapre", "evaluate", "verify_pbmodel"])
@pytest.mark.parametrize("package", ["cv2", "numpy"])
def test_missing_package_is_reported_in_one_line(script, package):
    path = os.path.join(ROOT, "offline_infer", f"{script}.py")
    code = f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv = [{path!r}]; "
    command = [sys.executable, "-c", code + f"runpy.run_path({path!r}, run_name='__main__')"]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert_message(result.stderr, f"{script}.py", package, "pip install", "opencv")


@pytest.fixture(scope="module")
def manifest(portrait_set, tmp_path_factory):
    """Path of a manifest. Tests do not write beside it."""
    return write_manifest(portrait_set, tmp_path_factory.mktemp("Bin"), SHAPE)


@pytest.fixture(scope="module")
def alphas(portrait_set):
    return draw_alphas(portrait_set, SHAPE)


@pytest.fixture
def run_offline(manifest, capsys):
    """Run the script on a folder of results. Return the scores that it prints as JSON."""

    def run_offline(folder, *flags, manifest=manifest):
        capsys.readouterr()
        arguments = ["--manifest", str(manifest), "--output_dir", str(folder), "--json"]
        arguments += ["--target_eval_shape", *map(str, TARGET)]
        assert offline_evaluate.main([*arguments, *flags]) == 0
        return json.loads(capsys.readouterr().out)

    return run_offline


def draw_alphas(dataset, shape):
    """Return stem -> alpha float32 [H,W], near the truth."""
    random, alphas = np.random.RandomState(0), {}
    for pair in dataset.pairs:
        alpha = read_truth(pair, shape) + random.normal(0, 0.05, shape)
        alphas[pair.stem] = np.clip(alpha, 0, 1).astype(np.float32)
    return alphas


def read_truth(pair, shape):
    return resize_bilinear(read_pair(pair)[1], shape, align_corners=True)


def evaluate_alphas(dataset, alphas, target_shape=TARGET):
    """Score the same alphas with mmnet.evaluation."""
    remaining = iter([alphas[stem] for stem in sorted(alphas)])
    shape = next(iter(alphas.values())).shape

    def run(images):
        return np.stack([next(remaining) for _ in images])[..., None]

    return evaluate(Predictor(run, Card(Network(shape=shape))), dataset, target_shape)


def assert_scores(scores, evaluation, tolerance):
    means = evaluation.means()
    assert len(means) == 4 and scores["pictures"] == 6
    assert {name: scores[name] for name in means} == pytest.approx(means, abs=tolerance)


@pytest.mark.parametrize("shape", [SHAPE, TALL])
@pytest.mark.parametrize(
    "naming, dtype, tolerance",
    [
        ("_output_0.bin", np.float32, 1e-9),
        ("_output_0.bin", np.float16, 1e-4),
        ("_output_0.txt", np.float32, 1e-6),
        ("_0.bin", np.float32, 1e-9),
        ("_0.npy", np.float32, 1e-9),
        ("_0.npy", np.float16, 1e-4),
        ("_0.txt", np.float32, 1e-6),
    ],
)
def test_scores_equal_online_evaluation(
    run_offline, portrait_set, tmp_path, naming, dtype, tolerance, shape
):
    manifest = write_manifest(portrait_set, tmp_path / "Bin", shape)
    alphas = draw_alphas(portrait_set, shape)
    folder = write_results(tmp_path / "run", alphas, naming, dtype)
    scores = run_offline(folder, manifest=manifest)
    assert_scores(scores, evaluate_alphas(portrait_set, alphas), tolerance)
    assert scores["checkpoint"] == folder and scores["global_step"] is None


def to_alpha(alpha):
    return alpha


def to_logits(alpha):
    with np.errstate(divide="ignore"):
        difference = np.clip(np.log(alpha / (1 - alpha)), -50, 50)
    return np.stack([np.zeros_like(alpha), difference], axis=-1)


@pytest.mark.parametrize("to_output, tolerance", [(to_alpha, 1e-9), (to_logits, 1e-6)])
def test_scores_of_other_output_types(
    run_offline, portrait_set, alphas, tmp_path, to_output, tolerance
):
    folder = write_results(tmp_path / "run", alphas, to_output=to_output)
    scores = run_offline(folder, "--output_type", to_output.__name__[3:])
    assert_scores(scores, evaluate_alphas(portrait_set, alphas), tolerance)
    with pytest.raises(MmnetError):
        run_offline(folder)


def test_moved_dataset_is_found_with_dataset_path(
    run_offline, manifest, portraits, portrait_set, alphas, tmp_path
):
    shutil.copytree(os.path.dirname(manifest), str(tmp_path / "Bin"))
    dataset = tmp_path / "data"
    shutil.copytree(portraits, str(dataset))
    moved = tmp_path / "Bin" / "manifest.json"
    missing = str(tmp_path / "missing")
    moved.write_text(moved.read_text().replace(json.dumps(portraits), json.dumps(missing)))
    folder = write_results(tmp_path / "run", alphas)
    with assert_raises(FileNotFoundError, "12 original images", missing, "--dataset_path"):
        run_offline(folder, manifest=moved)
    scores = run_offline(folder, "--dataset_path", str(dataset), manifest=moved)
    assert_scores(scores, evaluate_alphas(portrait_set, alphas), 1e-9)
    (dataset / "test" / "mask" / "portrait0_0002.png").unlink()
    with assert_raises(FileNotFoundError, "1 original", "portrait0_0002.png"):
        run_offline(folder, "--dataset_path", str(dataset), manifest=moved)


def test_changed_inputs_are_refused(run_offline, manifest, alphas, tmp_path):
    shutil.copytree(os.path.dirname(manifest), str(tmp_path / "Bin"))
    copy, images = tmp_path / "Bin" / "manifest.json", tmp_path / "Bin" / "images"
    folder = write_results(tmp_path / "run", alphas)
    (images / "portrait0_0001.bin").unlink()  # not required
    run_offline(folder, manifest=copy)
    (images / "portrait0_0003.bin").write_bytes(b"other")
    with assert_raises(MmnetError, images, "portrait0_0003.bin"):
        run_offline(folder, manifest=copy)


@pytest.mark.parametrize(
    "change, token",
    [
        ({"shape": [32, 32]}, "portrait0_0001.bin"),
        ({"dtype": "uint8"}, "portrait0_0001.bin"),
        ({"pictures": {"height": 199}}, "portrait0_0001.png"),
    ],
)
def test_manifest_with_other_sizes_than_the_data_is_refused(
    run_offline, manifest, alphas, tmp_path, change, token
):
    shutil.copytree(os.path.dirname(manifest), str(tmp_path / "Bin"))
    copy = tmp_path / "Bin" / "manifest.json"
    record = json.loads(copy.read_text())
    entries = [dict(entry, **change.get("pictures", {})) for entry in record["pictures"]]
    copy.write_text(json.dumps(dict(record, **dict(change, pictures=entries))))
    with assert_raises(MmnetError, token):
        run_offline(write_results(tmp_path / "run", alphas), manifest=copy)


ENTRY = {"stem": "a", "image": "a.jpg", "mask": "a.png", "height": 8, "width": 6, "sha256": "0"}
MANIFEST = {
    "dataset_path": "",
    "split": "",
    "shape": [64, 64],
    "dtype": "float32",
    "preprocess": "inside",
    "pictures": [ENTRY],
}


@pytest.mark.parametrize(
    "contents, tokens",
    [
        ("{", ["JSON"]),
        ("[]", ["JSON"]),
        ("{}", ["dataset_path"]),
        (dict(MANIFEST, pictures=[]), ["pictures"]),
        (dict(MANIFEST, shape=64), ["shape", "64"]),
        (dict(MANIFEST, shape=[64, "64"]), ["shape[1]", "'64'"]),
        (dict(MANIFEST, shape=[64, -64]), ["shape", "[64, -64]"]),
        (dict(MANIFEST, shape=[0, 64]), ["shape", "[0, 64]"]),
        (dict(MANIFEST, shape=[None, 64]), ["shape[0]", "None"]),
        (dict(MANIFEST, dtype="float64"), ["dtype", "uint8"]),
        (dict(MANIFEST, preprocess=None), ["preprocess", "None"]),
        (dict(MANIFEST, pictures=[dict(ENTRY, height=0)]), ["pictures", "a.png"]),
        (dict(MANIFEST, pictures=[dict(ENTRY, width=-6)]), ["pictures", "a.png"]),
        (dict(MANIFEST, pictures=[dict(ENTRY, width=None)]), ["pictures[0]", "width"]),
        (dict(MANIFEST, pictures=[{}]), ["pictures[0]", "stem"]),
        (dict(MANIFEST, pictures=[dict(ENTRY, mask="../b")]), ["pictures", "../b"]),
        (dict(MANIFEST, pictures=["a"]), ["pictures[0]", "'a'"]),
    ],
)
def test_read_manifest_refuses_missing_and_other_files(tmp_path, contents, tokens):
    path = tmp_path / "manifest.json"
    with assert_raises(FileNotFoundError, path, "datapre.py"):
        offline_evaluate.read_manifest(str(path))
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    with assert_raises(MmnetError, path, *tokens):
        offline_evaluate.read_manifest(str(path))


def test_table_has_original_names(portraits, alphas, tmp_path, capsys):
    stems = ("anna.1", "anna 1", "anna_1")
    folder = copy_portraits(portraits, tmp_path / "data", stems)
    manifest = write_manifest(find_dataset(str(folder), "test"), tmp_path / "Bin", SHAPE)
    safe_stems = [entry.stem for entry in offline_evaluate.read_manifest(manifest).pictures]
    results = dict(zip(safe_stems, alphas.values()))
    folder = write_results(tmp_path / "run", results, "_0.bin")
    assert offline_evaluate.main(["--manifest", manifest, "--output_dir", folder]) == 0
    assert_message(capsys.readouterr().out.splitlines()[-1], *stems)


BLOCKED = """
import runpy, sys
blocked = "tensorflow tensorboard humanfriendly overload yaml deprecation jinja2 argcomplete pooch"
sys.modules.update(dict.fromkeys(blocked.split()))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_blocked(script, *flags, **options):
    """Run a script as on a host with only numpy and OpenCV."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, str(script), *flags],
        capture_output=True,
        text=True,
        **options,
    )


def test_scripts_need_numpy_and_opencv_only(portraits, portrait_set, alphas, tmp_path):
    """Run all steps in a copy of the project, from another folder, with default paths."""
    project, other_folder = tmp_path / "pro ject", tmp_path / "else where"
    ignored = shutil.ignore_patterns("__pycache__", "output", "outputs")
    for name in ("mmnet", "offline_infer"):
        shutil.copytree(os.path.join(ROOT, name), str(project / name), ignore=ignored)
    other_folder.mkdir()

    def run_script(name, *flags):
        return run_blocked(project / "offline_infer" / name, *flags, cwd=str(other_folder))

    def assert_failed(result, *tokens):
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert result.stderr.startswith("evaluate.py: error: ")
        assert_message(result.stderr, *tokens)

    assert_failed(run_script("evaluate.py"), "manifest")
    result = run_script("datapre.py", "--dataset_path", portraits, "--size", str(SHAPE[0]))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"6 pictures in {project / 'Bin' / 'test' / 'images'}")
    assert_failed(run_script("evaluate.py"), "results", "output_dir")
    parents = (project / "output", project / "outputs", project / "offline_infer" / "outputs")
    for index, parent in enumerate(parents):
        folder = write_results(parent / "2021924_15_3_12_123456", alphas)
        for path in (folder, os.path.join(folder, "portrait0_0000_output_0.bin")):
            os.utime(path, (4e9 + index, 4e9 + index))
        result = run_script("evaluate.py")
        assert result.returncode == 0, result.stderr
        assert_message(result.stderr, folder)
    expected = evaluate_alphas(portrait_set, alphas, (800, 600))._replace(source=folder)
    assert result.stdout == format_evaluation(expected) + "\n"
    assert os.listdir(str(other_folder)) == []


def test_stand_in_checks_flags_without_tensorflow():
    script = os.path.join(ROOT, "offline_infer", "verify_pbmodel.py")
    result = run_blocked(script, "--model", "none.pb", "--output", "o", "--input", "none here")
    assert (result.returncode, result.stderr) == (0, "")
    assert_message(result.stdout, "[ERROR] invalid input path none here")


@pytest.mark.parametrize(
    "flags", [["--no_such_flag"], ["--target_eval_shape", "800", "0"], ["--output_type", "softmax"]]
)
def test_wrong_flags_are_reported_in_one_line(flags):
    script = os.path.join(ROOT, "offline_infer", "evaluate.py")
    result = subprocess.run([sys.executable, script, *flags], capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("evaluate.py: error: ") and result.stderr.count("\n") == 1
    assert_message(result.stderr, flags[0])
