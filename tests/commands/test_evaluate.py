"""Tests of mmnet evaluate: its scores and its output folder."""

import glob
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest

from helpers import SMALL_FLAGS, assert_message, call_before
from helpers.runs import read_events, steps_in
from mmnet.commands import evaluate as evaluate_module
from mmnet.commands import options as options_module
from mmnet.datasets.synthetic import synthesize
from mmnet.io.checkpoint_files import files_of, find_checkpoint, list_checkpoints
from mmnet.io.files import read_json
from mmnet.tf import checkpoint

FLAGS = [*SMALL_FLAGS, "--target_eval_shape", "40", "30"]
LOOP = ["--valid_type", "loop", "--watch_timeout", "0s"]
SCORES = ("MAD/test", "GAUSS_GRAD/test", "MAD/test/40_30", "GAUSS_GRAD/test/40_30")


@pytest.fixture
def evaluate(portraits, run_json):
    """Run mmnet evaluate on the portraits, or on ``dataset``. Return its JSON objects."""

    def evaluate(source, *flags, dataset=portraits):
        command = ["evaluate", "--checkpoint_path", source, "--dataset_path", dataset]
        return run_json(*command, *FLAGS, *flags)

    return evaluate


@pytest.fixture(scope="module")
def two_portraits(tmp_path_factory):
    """Another dataset."""
    folder = str(tmp_path_factory.mktemp("two portraits"))
    synthesize(folder, "test", 2, shape=(100, 75))
    return folder


@pytest.fixture
def scored_steps(monkeypatch):
    """Steps whose scores are computed, not read: a growing list."""
    steps = []

    def note_step(predictor, *_, **options):
        steps.append(predictor.step)

    call_before(monkeypatch, evaluate_module, "evaluate", note_step)
    return steps


def best_steps(output):
    folder = os.path.join(str(output), "best")
    return {name: steps_in(os.path.join(folder, name)) for name in os.listdir(folder)}


def test_once_scores_the_latest_checkpoint_and_writes_everything(evaluate, write_checkpoints):
    run = write_checkpoints(3, 20)
    (scores,) = evaluate(run)
    assert scores["global_step"] == 20
    assert scores["checkpoint"] == os.path.join(run, "MMNetModel-20")
    assert list(scores) == [*SCORES, "pictures", "checkpoint", "global_step"]
    (path,) = glob.glob(os.path.join(run, "eval", "*-test-40x30", "MMNetModel-20.json"))
    with open(path) as file:
        record = json.load(file)
    assert record["scores"] == scores and len(record["stems"]) == scores["pictures"] == 6
    for name in SCORES:
        assert np.mean(record["image_scores"][name]) == pytest.approx(scores[name])
    events = read_events(os.path.join(run, "eval"))
    tags = {*SCORES, "inference_time_ms/test", *[f"errors/{name}" for name in SCORES]}
    assert set(events) == tags | {f"example/test/{index}" for index in range(4)}
    assert events["MAD/test"] == [(20, pytest.approx(scores["MAD/test"]))]
    assert best_steps(run) == {name.replace("/", "_"): [20] for name in SCORES}


def test_loop_scores_each_checkpoint_once(evaluate, write_checkpoints, scored_steps):
    run = write_checkpoints(1, 2, 3)
    first = evaluate(run, *LOOP)
    assert scored_steps == [scores["global_step"] for scores in first] == [1, 2, 3]
    events = read_events(os.path.join(run, "eval"))
    assert [step for step, _ in events["MAD/test"]] == [1, 2, 3]

    write_checkpoints(4, folder=run)
    second = evaluate(run, "--watch", "--watch_timeout", "0s")
    assert scored_steps == [1, 2, 3, 4]
    assert second[:3] == first

    best = best_steps(run)
    for name in ("MAD/test", "GAUSS_GRAD/test/40_30"):
        expected = min(second, key=lambda scores: scores[name])["global_step"]
        folder = os.path.join(run, "best", name.replace("/", "_"))
        assert best[os.path.basename(folder)] == [expected]
        checkpoint.read(find_checkpoint(folder))
        with open(os.path.join(folder, "checkpoint")) as file:
            assert file.read() == f'model_checkpoint_path: "MMNetModel-{expected}"\n'
        assert len(os.listdir(folder)) == 4  # data, index, checkpoint, score.json


def test_loop_scores_other_options_again(
    evaluate, write_checkpoints, scored_steps, two_portraits, tmp_path
):
    run = write_checkpoints(1)
    evaluate(run, *LOOP)
    evaluate(run, *LOOP, "--target_eval_shape", "20", "20")
    evaluate(run, *LOOP, "--logit_scale", "2")
    evaluate(run, *LOOP, dataset=two_portraits)
    assert scored_steps == [1] * 4
    evaluate(run, *LOOP, "--target_eval_shape", "20", "20")
    assert scored_steps == [1] * 4


def test_best_keeps_checkpoint_that_is_deleted_while_scored(
    evaluate, write_checkpoints, monkeypatch
):
    run = write_checkpoints(1, 2)

    def delete_checkpoints(*_, **options):  # as a training with max_to_keep does
        for prefix in list_checkpoints(run):
            for path in files_of(prefix):
                os.unlink(path)

    call_before(monkeypatch, evaluate_module, "evaluate", delete_checkpoints)
    assert [scores["global_step"] for scores in evaluate(run, *LOOP)] == [1]
    assert best_steps(run)["MAD_test"] == [1]


def test_best_is_repaired_after_a_kill(evaluate, write_checkpoints):
    run = write_checkpoints(1, 2, 3)
    mads = {scores["global_step"]: scores["MAD/test"] for scores in evaluate(run, *LOOP)}
    best = min(mads, key=mads.get)
    other = os.path.join(run, f"MMNetModel-{min(set(mads) - {best})}")
    for path in files_of(other):  # the process was killed before it deleted the previous best
        shutil.copy(path, os.path.join(run, "best", "MAD_test"))
    evaluate(other)
    assert best_steps(run)["MAD_test"] == [best]


@pytest.mark.parametrize("flags", [[], LOOP], ids=["once", "loop"])
def test_read_only_folder_is_unchanged(evaluate, write_checkpoints, caplog, flags):
    run = write_checkpoints(5)
    names = sorted(os.listdir(run))
    os.chmod(run, 0o555)
    try:
        (scores,) = evaluate(run, *flags)
    finally:
        os.chmod(run, 0o755)
    assert scores["global_step"] == 5
    assert sorted(os.listdir(run)) == names
    assert_message(caplog.text, run, "cannot be written")


def test_untrained_weights_have_no_best(evaluate, tmp_path):
    (scores,) = evaluate("untrained", "--output", str(tmp_path))
    assert scores["checkpoint"] is None
    assert (tmp_path / "eval").exists() and not (tmp_path / "best").exists()


def test_loop_waits_for_the_first_checkpoint(evaluate, write_checkpoints, tmp_path, monkeypatch):
    assert evaluate(tmp_path, *LOOP) == []
    sleep = checkpoint.time.sleep

    def write_and_sleep(seconds):
        if not steps_in(tmp_path):
            write_checkpoints(7, folder=str(tmp_path))
        sleep(0)

    monkeypatch.setattr(checkpoint.time, "sleep", write_and_sleep)
    (scores,) = evaluate(tmp_path, *LOOP, "--watch_timeout", "1s")
    assert scores["global_step"] == 7


def test_as_photos_scores_alphas_of_predict(evaluate, small_weights, tmp_path):
    def mad(*flags):
        output = ["--output", str(tmp_path)]
        (scores,) = evaluate(small_weights.source, *output, *flags)
        return scores["MAD/test/40_30"]

    uncleaned = ("--as_photos", "--no_cleaning")
    scores = [mad(), mad("--as_photos"), mad(*uncleaned), mad(*uncleaned, "--no_refinement")]
    assert len(set(scores)) == 4
    mads = [mad(*uncleaned, "--views", str(count)) for count in (1, 2, 3)]
    assert len(set(mads)) == 3 and mads[2] == scores[2]
    assert mad("--as_photos", "--no_second_pass") == mad("--as_photos", "--no_second_look")


def test_datasets_and_sources_are_compared(
    portraits, two_portraits, small_weights, write_checkpoints, tmp_path, run, run_json, monkeypatch
):
    sources = []

    def note_source(source, *_, **options):
        sources.append(source.path)

    call_before(monkeypatch, options_module, "open_predictor", note_source)
    page, other = tmp_path / "report.html", write_checkpoints(3)
    command = ["evaluate", "--dataset_path", portraits, two_portraits, "--compare", other, *FLAGS]
    command += ["--checkpoint_path", small_weights.source, "--worst", "1"]
    command += ["--report", str(page), "--output", str(tmp_path / "scores")]
    out = run(*command)[1]
    assert_message(out, f"{portraits}/test:", f"{two_portraits}/test:", "compared with")
    assert sources == [small_weights.source, find_checkpoint(other)]  # each one is opened once
    assert page.read_text().count("<img src=") == 2 * 2 * 5
    rows = run_json(*command)  # replaces the page
    assert [row["dataset_path"] for row in rows] == [portraits, two_portraits] * 2
    page.write_text("a letter")
    code, _, err = run(*command)
    assert code == 2
    assert_message(err, page)
    assert page.read_text() == "a letter"


def test_missing_runtime_is_reported_before_the_scores(
    portraits, small_weights, tmp_path, assert_refused, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "x.onnx").write_bytes(b"")
    command = ["evaluate", "--dataset_path", portraits, "--output", str(tmp_path), *FLAGS]
    command += ["--checkpoint_path", small_weights.source, "--compare", str(tmp_path / "x.onnx")]
    assert_refused(command, "onnxruntime", "pip install")


def test_report_of_a_run_shows_curves(evaluate, write_checkpoints, tmp_path):
    page = tmp_path / "run.html"
    evaluate(write_checkpoints(1, 2), *LOOP, "--report", str(page), "--worst", "1")
    text = page.read_text()
    assert text.count("<circle") == 4
    assert re.search(r"Compared with [^<]*MMNetModel-2<", text)  # the latest
    assert re.search(r"<h2>[^<]*: [^<]*MMNetModel-2</h2>", text)


def test_as_clips_scores_flicker(small_weights, tmp_path, run, run_json):
    synthesize(str(tmp_path), "test", 2, shape=(120, 90), frames=4)
    command = ["evaluate", "--dataset_path", str(tmp_path), "--as_clips", *SMALL_FLAGS]
    command += ["--checkpoint_path", small_weights.source]
    (plain,) = run_json(*command)
    assert (plain["clips"], plain["frames"], plain["global_step"]) == (2, 8, 5)
    (filtered,) = run_json(*command, "--temporal_filter", "exponential")
    assert filtered["dtSSD/test"] < plain["dtSSD/test"]
    assert_message(run(*command)[1], "2 clips", "8 frames", "dtSSD")


@pytest.mark.parametrize(
    "flags, tokens",
    [
        (["--as_clips", "--output", "x"], ["--as_clips", "--output"]),
        (["--as_clips", "--report", "x"], ["--as_clips", "--report"]),
        (["--as_clips", "--watch"], ["--as_clips", "--watch"]),
        (["--temporal_filter", "motion"], ["--temporal_filter", "--as_clips"]),
        (["--temporal_filter", "x"], ["--temporal_filter", "none, exponential, motion"]),
        (["--no_second_pass"], ["--no_second_pass", "--as_photos"]),
        (["--no_cleaning"], ["--no_cleaning", "--as_photos"]),
        (["--views", "2"], ["--views", "--as_photos"]),
        (["--watch", "--compare", "untrained"], ["--compare", "--watch"]),
        (["--valid_type", "loop", "--checkpoint_path", "none"], ["none", "folder"]),
        (["--watch", "--checkpoint_path", "untrained"], ["untrained", "folder"]),
        (["--checkpoint_path", "none"], ["none"]),
        (["--output", "/proc/none"], ["--output", "/proc/none"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else None,
)
def test_bad_input_is_reported(portraits, assert_refused, flags, tokens):
    assert_refused(["evaluate", "--dataset_path", portraits, *flags], *tokens)


@pytest.fixture
def same_names(portraits, two_portraits, small_weights, tmp_path):
    """Datasets x/data and y/data, and checkpoints A/MMNetModel-N and B/MMNetModel-N."""
    datasets = [str(tmp_path / name / "data") for name in "xy"]
    for source, path in zip((portraits, two_portraits), datasets):
        shutil.copytree(source, path)
    prefix = os.path.basename(small_weights.source)
    sources = [str(tmp_path / name / prefix) for name in "AB"]
    for factor, path in enumerate(sources, 1):
        os.makedirs(os.path.dirname(path))
        values = {name: value * factor for name, value in small_weights.values.items()}
        checkpoint.write(path, dict(values, global_step=np.int64(5)))
    return datasets, sources


def test_datasets_and_checkpoints_with_one_name_are_kept_apart(run, same_names, tmp_path):
    datasets, (source, other) = same_names
    output, page = tmp_path / "out", tmp_path / "page.html"
    command = ["evaluate", "--dataset_path", *datasets, "--checkpoint_path", source, *FLAGS]
    code, out, err = run(*command, "--compare", other, "--output", output, "--report", page)
    assert code == 0, err
    assert_message(out, "x/data/test, MAD", "y/data/test, MAD")
    assert_message(page.read_text(), "x/data/test", "y/data/test")
    records = glob.glob(str(output / "eval" / "*" / "*.json"))
    names = {os.path.relpath(path, str(output / "eval")) for path in records}
    name = os.path.basename(source)
    assert names == {f"{x}-data-test-40x30/{y}-{name}.json" for x in "xy" for y in "AB"}
    scores = {read_json(path)["scores"]["MAD/test"] for path in records}
    assert len(scores) == 4


def test_folder_given_twice_is_refused(assert_refused, portraits, same_names):
    for command in (["evaluate", "--dataset_path"], ["data", "check"]):
        assert_refused([*command, portraits, portraits + "/"], portraits + "/")


def test_data_check_keeps_datasets_with_one_name_apart(run, same_names, tmp_path):
    datasets, _ = same_names  # their portraits are near-duplicates
    code, out, _ = run("data", "check", *datasets, "--report", tmp_path / "a.html")
    assert code == 1
    assert_message(out, "x/data/test/portrait0_0000 = y/data/test/portrait0_0000")


HOSTILE = ["--><script>alert(1)<", "\x1b[31m", "a\nb", os.fsdecode(b"\xff\xfe"), '"><img src=x>']


def test_reports_escape_hostile_names(run, portrait_set, small_weights, tmp_path):
    dataset = tmp_path / "--><script>"
    for kind, source in (
        ("image", portrait_set.pairs[0].image),
        ("mask", portrait_set.pairs[0].mask),
    ):
        (dataset / "test" / kind).mkdir(parents=True)
        for name in HOSTILE:
            target = dataset / "test" / kind / (name + os.path.splitext(source)[1])
            shutil.copy(source, str(target))
    evaluate = ["evaluate", "--checkpoint_path", small_weights.source, *FLAGS]
    evaluate += ["--dataset_path", dataset]
    for command in (evaluate, ["data", "check", dataset]):
        page = tmp_path / "--><script>.html"
        code, _, err = run(*command, f"--report={page}")
        assert code == 0, err
        text = page.read_text()
        assert (
            "<script>alert" not in text and "<img src=x" not in text and "--><script>" not in text
        )
        assert_message(text, "--&gt;&lt;script&gt;alert(1)")
        page.unlink()
