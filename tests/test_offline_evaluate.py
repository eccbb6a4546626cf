import contextlib
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from mmnet.data.images import resize_bilinear
from mmnet.data.pairs import load_pairs, read_pair
from mmnet.scoring import evaluate as scoring
from mmnet.scoring import report

sys.path.append(ROOT)
from offline_infer import datapre, evaluate  # noqa: E402

SIDE = 64
SHAPE = (100, 75)


@pytest.fixture(scope="module")
def prepared(portraits, tmp_path_factory):
    """Path of a manifest; tests do not write beside it."""
    folder = datapre.datapre(portraits, "test", str(tmp_path_factory.mktemp("Bin")), SIDE)[0]
    return os.path.join(folder, "manifest.json")


@pytest.fixture(scope="module")
def alphas(portraits):
    """stem -> alpha float32 [SIDE,SIDE], near the truth."""
    random = np.random.RandomState(0)
    return {pair.stem: np.clip(truth(pair) + random.normal(0, 0.05, (SIDE, SIDE)), 0, 1).astype(np.float32)
            for pair in load_pairs(portraits, "test")}


def truth(pair):
    return resize_bilinear(read_pair(pair)[1], (SIDE, SIDE), align_corners=True)


def probabilities(alpha):
    return np.stack([1 - alpha, alpha], axis=-1)


def write_results(folder, alphas, naming="_output_0.bin", dtype=np.float32, channels=probabilities):
    folder.mkdir(parents=True)
    for stem, alpha in alphas.items():
        path, values = str(folder / (stem + naming)), channels(alpha).astype(dtype)
        if naming.endswith(".bin"):
            values.tofile(path)
        elif naming.endswith(".npy"):
            np.save(path, values[None])
        else:
            np.savetxt(path, values.reshape(-1, 2), "%.6g")
    return str(folder)


def offline(prepared, *flags):
    """The scores that evaluate.py prints as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert evaluate.main(["--manifest", prepared, "--json", "--target_eval_shape"] + list(map(str, SHAPE)) +
                             list(flags)) == 0
    return json.loads(out.getvalue())


def online(portraits, alphas, shape=SHAPE):
    """What mmnet.scoring makes of the same alphas: a report.Result."""
    following = iter([alphas[stem] for stem in sorted(alphas)])
    pairs = load_pairs(portraits, "test")
    evaluation = scoring.evaluate(lambda images: np.stack([next(following) for _ in images]), pairs, SIDE, shape)
    return report.Result(None, None, evaluation.stems, evaluation.scores)


def assert_scores(result, expected, tolerance):
    expected = report.published(expected, "test")
    for name in ("MAD/test", "GAUSS_GRAD/test", "MAD/test/100_75", "GAUSS_GRAD/test/100_75"):
        assert result[name] == pytest.approx(expected[name], abs=tolerance)
    assert result["pictures"] == expected["pictures"] == 6


@pytest.mark.parametrize("naming, dtype, tolerance", [
    ("_output_0.bin", np.float32, 1e-9), ("_output_0.bin", np.float16, 1e-4), ("_output_0.txt", np.float32, 1e-6),
    ("_0.bin", np.float32, 1e-9), ("_0.npy", np.float32, 1e-9), ("_0.npy", np.float16, 1e-4),
    ("_0.txt", np.float32, 1e-6)])
def test_scores_are_those_of_the_online_evaluation(prepared, portraits, alphas, tmp_path, naming, dtype, tolerance):
    folder = write_results(tmp_path / "run", alphas, naming, dtype)
    result = offline(prepared, "--output_dir", folder)
    assert_scores(result, online(portraits, alphas), tolerance)
    assert result["checkpoint"] == folder and result["global_step"] is None


def test_alpha_and_logits(prepared, portraits, alphas, tmp_path):
    expected = online(portraits, alphas)
    folder = write_results(tmp_path / "alpha", alphas, channels=lambda alpha: alpha)
    assert_scores(offline(prepared, "--output_dir", folder, "--output_type", "alpha"), expected, 1e-9)

    def logits(alpha):
        with np.errstate(divide="ignore"):
            return np.stack([np.zeros_like(alpha), np.clip(np.log(alpha / (1 - alpha)), -50, 50)], axis=-1)
    folder = write_results(tmp_path / "logits", alphas, channels=logits)
    assert_scores(offline(prepared, "--output_dir", folder, "--output_type", "logits"), expected, 1e-6)
    with pytest.raises(ValueError, match=r"6 outside 0\.\.1 \(is --output_type right\?\)"):
        offline(prepared, "--output_dir", folder)


def test_the_truth_scores_zero(prepared, portraits, tmp_path):
    perfect = {pair.stem: truth(pair) for pair in load_pairs(portraits, "test")}
    result = offline(prepared, "--output_dir", write_results(tmp_path / "run", perfect, "_0.bin"))
    assert result["MAD/test"] == 0 and result["GAUSS_GRAD/test"] == 0 and result["MAD/test/100_75"] < 0.02


def test_everything_wrong_is_said_at_once(prepared, alphas, tmp_path):
    folder = tmp_path / "run"
    write_results(folder, alphas)
    (folder / "portrait0_0000_output_0.bin").unlink()
    np.zeros(7, np.float32).tofile(str(folder / "portrait0_0001_output_0.bin"))
    for number, value in ((2, np.nan), (3, 1.25)):
        probabilities(np.full((SIDE, SIDE), value, np.float32)).tofile(
            str(folder / ("portrait0_%04d_output_0.bin" % number)))
    np.full((SIDE, SIDE, 2), 0.9, np.float32).tofile(str(folder / "portrait0_0004_output_0.bin"))
    (folder / "stray_output_0.bin").write_bytes(b"")
    (folder / "portrait0_0005_0.bin").write_bytes(b"")
    (folder / "notes.json").write_text("{}")
    with pytest.raises(ValueError) as caught:
        offline(prepared, "--output_dir", str(folder))
    said = str(caught.value)
    assert "1 missing (portrait0_0000_output_0.bin)" in said
    assert "2 extra (portrait0_0005_0.bin, stray_output_0.bin)" in said
    assert "1 of a wrong size (portrait0_0001_output_0.bin: 28 bytes, not 32768 (float32) or 16384 (float16))" in said
    assert "1 not finite (portrait0_0002_output_0.bin: 8192 of 8192 values)" in said
    assert "1 outside 0..1 (is --output_type right?) (portrait0_0003_output_0.bin: -0.25 .. 1.25)" in said
    assert "1 no probabilities (is --output_type right?) (portrait0_0004_output_0.bin" in said


def test_moved_and_lost_data_set(prepared, portraits, alphas, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(os.path.dirname(prepared), str(moved / "Bin"))
    shutil.copytree(portraits, str(moved / "data"))
    manifest = moved / "Bin" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(json.dumps(portraits), json.dumps(str(tmp_path / "gone"))))
    folder = write_results(tmp_path / "run", alphas)
    with pytest.raises(FileNotFoundError, match=r"12 original pictures not found \(.*gone.*, \.\.\.\).*--dataset_path"):
        offline(str(manifest), "--output_dir", folder)
    result = offline(str(manifest), "--output_dir", folder, "--dataset_path", str(moved / "data"))
    assert_scores(result, online(portraits, alphas), 1e-9)
    (moved / "data" / "test" / "mask" / "portrait0_0002.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 original pictures not found .*portrait0_0002.png"):
        offline(str(manifest), "--output_dir", folder, "--dataset_path", str(moved / "data"))


def test_inputs_that_changed_are_refused(prepared, alphas, tmp_path):
    shutil.copytree(os.path.dirname(prepared), str(tmp_path / "Bin"))
    manifest = str(tmp_path / "Bin" / "manifest.json")
    folder = write_results(tmp_path / "run", alphas)
    (tmp_path / "Bin" / "images" / "portrait0_0001.bin").unlink()  # is not needed
    offline(manifest, "--output_dir", folder)
    (tmp_path / "Bin" / "images" / "portrait0_0003.bin").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"1 inputs changed since datapre.py \(portrait0_0003.bin\)"):
        offline(manifest, "--output_dir", folder)


def test_manifests_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="datapre.py writes it"):
        evaluate.read_manifest(str(tmp_path / "manifest.json"))
    for contents, said in (("{", "not a manifest"), ("[]", "not a manifest"), ("{}", "lacks dataset_path"),
                           ('{"dataset_path": "", "split": "", "size": 64, "pictures": []}', "lacks pictures")):
        (tmp_path / "manifest.json").write_text(contents)
        with pytest.raises(ValueError, match=said):
            evaluate.read_manifest(str(tmp_path / "manifest.json"))


def test_pictures_keep_their_own_names_in_the_report(portraits, alphas, tmp_path, capsys):
    for kind, extension in (("image", ".jpg"), ("mask", ".png")):
        (tmp_path / "data" / "test" / kind).mkdir(parents=True)
        for number, stem in enumerate(("anna.1", "anna 1", "anna_1")):
            shutil.copy(os.path.join(portraits, "test", kind, "portrait0_%04d%s" % (number, extension)),
                        str(tmp_path / "data" / "test" / kind / (stem + extension)))
    datapre.datapre(str(tmp_path / "data"), "test", str(tmp_path / "Bin"), SIDE)
    outputs = {"anna_1_3": alphas["portrait0_0000"], "anna_1_2": alphas["portrait0_0001"],
               "anna_1": alphas["portrait0_0002"]}
    flags = ["--manifest", str(tmp_path / "Bin" / "test" / "manifest.json"), "--output_dir",
             write_results(tmp_path / "run", outputs, "_0.bin"), "--target_eval_shape"] + list(map(str, SHAPE))
    assert evaluate.main(flags) == 0
    worst = capsys.readouterr().out.splitlines()[-1]
    expected = online(portraits, alphas)
    for number, stem in enumerate(("anna.1", "anna 1", "anna_1")):
        assert "%s %.4f" % (stem, expected.scores["mad_100_75"][number]) in worst


BLOCKED = """
import runpy, sys
sys.modules.update(dict.fromkeys(["tensorflow", "humanfriendly", "overload", "yaml"]))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_both_scripts_from_another_folder_with_numpy_and_opencv_alone(portraits, alphas, tmp_path):
    """The whole path in a copy of the project, as on a host that has nothing else: no flag but the data set's."""
    project, elsewhere = tmp_path / "pro ject", tmp_path / "else where"
    for name in ("mmnet", "offline_infer"):
        shutil.copytree(os.path.join(ROOT, name), str(project / name), ignore=shutil.ignore_patterns(
            "__pycache__", "output", "outputs"))
    elsewhere.mkdir()

    def script(name, *flags):
        return subprocess.run([sys.executable, "-c", BLOCKED, str(project / "offline_infer" / name)] + list(flags),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                              cwd=str(elsewhere))

    done = script("evaluate.py")
    assert done.returncode == 2 and done.stderr.startswith("evaluate.py: error: no manifest")
    done = script("datapre.py", "--dataset_path", portraits, "--size", str(SIDE))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 pictures in %s" % (project / "Bin" / "test" / "images"))
    done = script("evaluate.py")
    assert done.returncode == 2 and "no results" in done.stderr and done.stderr.count("\n") == 1
    for number, parent in enumerate((project / "output", project / "outputs", project / "offline_infer" / "outputs")):
        folder = write_results(parent / "2021924_15_3_12_123456", alphas)
        for path in (folder, os.path.join(folder, "portrait0_0000_output_0.bin")):
            os.utime(path, (4e9 + number, 4e9 + number))
        done = script("evaluate.py")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("evaluate.py: results: %s" % folder)
    assert done.stdout == report.text(online(portraits, alphas, (800, 600))._replace(checkpoint=folder)) + "\n"
    assert os.listdir(str(elsewhere)) == []


def test_wrong_flags_are_one_line():
    for flags in (["--no_such_flag"], ["--target_eval_shape", "800", "0"], ["--output_type", "softmax"]):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "offline_infer", "evaluate.py")] + flags,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 2 and done.stderr.startswith("evaluate.py: error: ")
        assert done.stderr.count("\n") == 1 and done.stdout == ""
