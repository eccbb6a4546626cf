import contextlib
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT
from helpers.results import SHAPE, probabilities, write_results
from mmnet.datasets.pairs import find_dataset, read_pair
from mmnet.evaluation import evaluate as scoring
from mmnet.evaluation import report
from mmnet.inference.card import Card
from mmnet.inference.predictor import Predictor
from mmnet.io.resize import resize_bilinear
from mmnet.networks.network import Network

sys.path.append(ROOT)
from offline_infer import datapre, evaluate  # noqa: E402

TALL = (96, 64)
TARGET = (100, 75)


def prepare(data_set, folder, shape):
    """The path of a dataset's manifest below ``folder``."""
    written = datapre.datapre(data_set, folder, datapre.Input(shape))[0]
    return os.path.join(written, "manifest.json")


@pytest.fixture(scope="module")
def prepared(portrait_set, tmp_path_factory):
    """Path of a manifest; tests do not write beside it."""
    return prepare(portrait_set, str(tmp_path_factory.mktemp("Bin")), SHAPE)


def near_the_truth(data_set, shape):
    random, alphas = np.random.RandomState(0), {}
    for pair in data_set.pairs:
        alpha = truth(pair, shape) + random.normal(0, 0.05, shape)
        alphas[pair.stem] = np.clip(alpha, 0, 1).astype(np.float32)
    return alphas


@pytest.fixture(scope="module")
def alphas(portrait_set):
    """stem -> alpha float32 [H,W], near the truth."""
    return near_the_truth(portrait_set, SHAPE)


def truth(pair, shape=SHAPE):
    return resize_bilinear(read_pair(pair)[1], shape, align_corners=True)


def offline(manifest, *flags):
    """The scores that evaluate.py prints as JSON."""
    out = io.StringIO()
    always = ["--manifest", manifest, "--json", "--target_eval_shape"] + list(map(str, TARGET))
    with contextlib.redirect_stdout(out):
        assert evaluate.main(always + list(flags)) == 0
    return json.loads(out.getvalue())


def online(data_set, alphas, target_shape=TARGET):
    """What mmnet.scoring makes of the same alphas: a report.Result."""
    following = iter([alphas[stem] for stem in sorted(alphas)])
    shape = next(iter(alphas.values())).shape

    def run(images):
        return np.stack([next(following) for _ in images])[..., None]

    predictor = Predictor(run, Card(Network(shape=shape)))
    evaluation = scoring.evaluate(predictor, data_set, target_shape)
    return report.result_of(predictor, evaluation)


def assert_scores(result, expected, tolerance):
    expected = report.published(expected, "test")
    for name in ("MAD/test", "GAUSS_GRAD/test", "MAD/test/100_75", "GAUSS_GRAD/test/100_75"):
        assert result[name] == pytest.approx(expected[name], abs=tolerance)
    assert result["pictures"] == expected["pictures"] == 6


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
def test_scores_are_those_of_the_online_evaluation(
    prepared, portrait_set, alphas, tmp_path, naming, dtype, tolerance
):
    folder = write_results(tmp_path / "run", alphas, naming, dtype)
    result = offline(prepared, "--output_dir", folder)
    assert_scores(result, online(portrait_set, alphas), tolerance)
    assert result["checkpoint"] == folder and result["global_step"] is None


def test_a_network_that_is_not_square(portrait_set, tmp_path):
    manifest = prepare(portrait_set, str(tmp_path / "Bin"), TALL)
    alphas = near_the_truth(portrait_set, TALL)
    for naming in ("_output_0.bin", "_0.npy"):
        folder = write_results(tmp_path / naming, alphas, naming)
        result = offline(manifest, "--output_dir", folder)
        assert_scores(result, online(portrait_set, alphas), 1e-9)


def test_alpha_and_logits(prepared, portrait_set, alphas, tmp_path):
    expected = online(portrait_set, alphas)
    folder = write_results(tmp_path / "alpha", alphas, channels=lambda alpha: alpha)
    result = offline(prepared, "--output_dir", folder, "--output_type", "alpha")
    assert_scores(result, expected, 1e-9)

    def logits(alpha):
        with np.errstate(divide="ignore"):
            difference = np.clip(np.log(alpha / (1 - alpha)), -50, 50)
        return np.stack([np.zeros_like(alpha), difference], axis=-1)

    folder = write_results(tmp_path / "logits", alphas, channels=logits)
    result = offline(prepared, "--output_dir", folder, "--output_type", "logits")
    assert_scores(result, expected, 1e-6)
    with pytest.raises(ValueError, match=r"6 outside 0\.\.1 \(is --output_type right\?\)"):
        offline(prepared, "--output_dir", folder)


def test_the_truth_scores_zero(prepared, portrait_set, tmp_path):
    perfect = {pair.stem: truth(pair) for pair in portrait_set.pairs}
    folder = write_results(tmp_path / "run", perfect, "_0.bin")
    result = offline(prepared, "--output_dir", folder)
    assert result["MAD/test"] == 0 and result["GAUSS_GRAD/test"] == 0
    assert result["MAD/test/100_75"] < 0.02


def test_everything_wrong_is_said_at_once(prepared, alphas, tmp_path):
    folder = tmp_path / "run"
    write_results(folder, alphas)
    (folder / "portrait0_0000_output_0.bin").unlink()
    np.zeros(7, np.float32).tofile(str(folder / "portrait0_0001_output_0.bin"))
    for number, value in ((2, np.nan), (3, 1.25)):
        values = probabilities(np.full(SHAPE, value, np.float32))
        values.tofile(str(folder / ("portrait0_%04d_output_0.bin" % number)))
    np.full(SHAPE + (2,), 0.9, np.float32).tofile(str(folder / "portrait0_0004_output_0.bin"))
    (folder / "stray_output_0.bin").write_bytes(b"")
    (folder / "portrait0_0005_0.bin").write_bytes(b"")
    (folder / "notes.json").write_text("{}")
    with pytest.raises(ValueError) as caught:
        offline(prepared, "--output_dir", str(folder))
    said = str(caught.value)
    stem = "(portrait0_000%d_output_0.bin"
    assert "1 missing %s)" % (stem % 0) in said
    assert "2 extra (portrait0_0005_0.bin, stray_output_0.bin)" in said
    sizes = "28 bytes, not 32768 (float32) or 16384 (float16))"
    assert "1 of a wrong size %s: %s" % (stem % 1, sizes) in said
    assert "1 not finite %s: 8192 of 8192 values)" % (stem % 2) in said
    hint = "(is --output_type right?)"
    assert "1 outside 0..1 %s %s: -0.25 .. 1.25)" % (hint, stem % 3) in said
    assert "1 no probabilities %s %s" % (hint, stem % 4) in said


def test_moved_and_lost_data_set(prepared, portraits, portrait_set, alphas, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(os.path.dirname(prepared), str(moved / "Bin"))
    shutil.copytree(portraits, str(moved / "data"))
    manifest = moved / "Bin" / "manifest.json"
    gone = json.dumps(str(tmp_path / "gone"))
    manifest.write_text(manifest.read_text().replace(json.dumps(portraits), gone))
    folder = write_results(tmp_path / "run", alphas)
    said = r"12 original pictures not found \(.*gone.*, \.\.\.\).*--dataset_path"
    with pytest.raises(FileNotFoundError, match=said):
        offline(str(manifest), "--output_dir", folder)
    flags = ["--output_dir", folder, "--dataset_path", str(moved / "data")]
    assert_scores(offline(str(manifest), *flags), online(portrait_set, alphas), 1e-9)
    (moved / "data" / "test" / "mask" / "portrait0_0002.png").unlink()
    said = "1 original pictures not found .*portrait0_0002.png"
    with pytest.raises(FileNotFoundError, match=said):
        offline(str(manifest), *flags)


def test_inputs_that_changed_are_refused(prepared, alphas, tmp_path):
    shutil.copytree(os.path.dirname(prepared), str(tmp_path / "Bin"))
    manifest = str(tmp_path / "Bin" / "manifest.json")
    folder = write_results(tmp_path / "run", alphas)
    (tmp_path / "Bin" / "images" / "portrait0_0001.bin").unlink()  # is not needed
    offline(manifest, "--output_dir", folder)
    (tmp_path / "Bin" / "images" / "portrait0_0003.bin").write_bytes(b"other")
    said = r"1 inputs changed since datapre.py \(portrait0_0003.bin\)"
    with pytest.raises(ValueError, match=said):
        offline(manifest, "--output_dir", folder)


def test_a_manifest_of_version_01_is_read(prepared, portrait_set, alphas, tmp_path):
    with open(prepared) as file:
        manifest = json.load(file)
    assert manifest.pop("shape") == list(SHAPE)
    manifest["size"] = SHAPE[0]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    folder = write_results(tmp_path / "run", alphas)
    result = offline(str(tmp_path / "manifest.json"), "--output_dir", folder)
    assert_scores(result, online(portrait_set, alphas), 1e-9)


def test_manifests_that_are_none(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(FileNotFoundError, match="datapre.py writes it"):
        evaluate.read_manifest(str(path))
    picture = {"stem": "a", "image": "a.jpg", "mask": "a.png", "sha256": "0"}
    good = {"dataset_path": "", "split": "", "shape": [64, 64], "pictures": [picture]}
    for contents, said in (
        ("{", ": not JSON"),
        ("[]", "JSON without an object"),
        ("{}", r"dataset_path is missing \(not a manifest of datapre.py\)"),
        (json.dumps(dict(good, pictures=[])), "pictures is missing"),
        ('{"dataset_path": "", "split": "", "size": 64, "pictures": []}', "pictures is missing"),
        (json.dumps(dict(good, shape=64)), "shape: expected list, not 64"),
        (json.dumps(dict(good, shape=[64])), r"shape is \[64\]"),
        (json.dumps(dict(good, shape=[64, "64"])), r"shape\[1\] is '64', not int"),
        (json.dumps(dict(good, shape=[64, -64])), r"shape is \[64, -64\]"),
        (json.dumps(dict(good, pictures=[{}])), r"pictures\[0\]: stem is missing"),
        (json.dumps(dict(good, pictures=[dict(picture, mask="../b")])), "not the name of one file"),
        (json.dumps(dict(good, pictures=["a"])), r"pictures\[0\]: expected dict, not 'a'"),
    ):
        path.write_text(contents)
        with pytest.raises(ValueError, match=said) as caught:
            evaluate.read_manifest(str(path))
        assert str(path) in str(caught.value)


def test_pictures_keep_their_own_names_in_the_report(
    portraits, portrait_set, alphas, tmp_path, capsys
):
    stems = ("anna.1", "anna 1", "anna_1")
    for kind, extension in (("image", ".jpg"), ("mask", ".png")):
        (tmp_path / "data" / "test" / kind).mkdir(parents=True)
        for number, stem in enumerate(stems):
            name = "portrait0_%04d%s" % (number, extension)
            new = tmp_path / "data" / "test" / kind / (stem + extension)
            shutil.copy(os.path.join(portraits, "test", kind, name), str(new))
    data_set = find_dataset(str(tmp_path / "data"), "test")
    manifest = prepare(data_set, str(tmp_path / "Bin"), SHAPE)
    outputs = {
        "anna_1_3": alphas["portrait0_0000"],
        "anna_1_2": alphas["portrait0_0001"],
        "anna_1": alphas["portrait0_0002"],
    }
    folder = write_results(tmp_path / "run", outputs, "_0.bin")
    flags = ["--manifest", manifest, "--output_dir", folder, "--target_eval_shape"]
    assert evaluate.main(flags + list(map(str, TARGET))) == 0
    worst = capsys.readouterr().out.splitlines()[-1]
    expected = online(portrait_set, alphas)
    for number, stem in enumerate(stems):
        assert "%s %.4f" % (stem, expected.scores["mad", "target"][number]) in worst


BLOCKED = """
import runpy, sys
blocked = ["tensorflow", "humanfriendly", "overload", "yaml", "deprecation"]
sys.modules.update(dict.fromkeys(blocked))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_blocked(script, *flags, **options):
    """Run a script as on a host with numpy and OpenCV alone."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, str(script)] + list(flags),
        capture_output=True,
        text=True,
        **options,
    )


def test_both_scripts_from_another_folder_with_numpy_and_opencv_alone(
    portraits, portrait_set, alphas, tmp_path
):
    """The whole path in a copy of the project, as on a host that has nothing else.

    There is no flag but the dataset's.
    """
    project, elsewhere = tmp_path / "pro ject", tmp_path / "else where"
    ignored = shutil.ignore_patterns("__pycache__", "output", "outputs")
    for name in ("mmnet", "offline_infer"):
        shutil.copytree(os.path.join(ROOT, name), str(project / name), ignore=ignored)
    elsewhere.mkdir()

    def script(name, *flags):
        return run_blocked(project / "offline_infer" / name, *flags, cwd=str(elsewhere))

    done = script("evaluate.py")
    assert done.returncode == 2 and done.stderr.startswith("evaluate.py: error: no manifest")
    done = script("datapre.py", "--dataset_path", portraits, "--size", str(SHAPE[0]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 pictures in %s" % (project / "Bin" / "test" / "images"))
    done = script("evaluate.py")
    assert done.returncode == 2 and "no results" in done.stderr and done.stderr.count("\n") == 1
    parents = (project / "output", project / "outputs", project / "offline_infer" / "outputs")
    for number, parent in enumerate(parents):
        folder = write_results(parent / "2021924_15_3_12_123456", alphas)
        for path in (folder, os.path.join(folder, "portrait0_0000_output_0.bin")):
            os.utime(path, (4e9 + number, 4e9 + number))
        done = script("evaluate.py")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("evaluate.py: results: %s" % folder)
    expected = online(portrait_set, alphas, (800, 600))._replace(source=folder)
    assert done.stdout == report.report_text(expected) + "\n"
    assert os.listdir(str(elsewhere)) == []


def test_the_stand_in_asks_for_tensorflow_only_to_run(tmp_path):
    """Its command line is looked at with numpy and OpenCV alone."""
    script = os.path.join(ROOT, "offline_infer", "verify_pbmodel.py")
    done = run_blocked(script, "--model", "none.pb", "--output", "o", "--input", "none here")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("[ERROR] invalid input path none here")


def test_wrong_flags_are_one_line():
    for flags in (
        ["--no_such_flag"],
        ["--target_eval_shape", "800", "0"],
        ["--output_type", "softmax"],
    ):
        done = subprocess.run(
            [sys.executable, os.path.join(ROOT, "offline_infer", "evaluate.py")] + flags,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2 and done.stderr.startswith("evaluate.py: error: ")
        assert done.stderr.count("\n") == 1 and done.stdout == ""
