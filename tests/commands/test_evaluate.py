"""The evaluate verb: what it computes, keeps, reads again, and leaves alone."""

import glob
import json
import os

import numpy as np
import pytest

from helpers import SMALL
from mmnet.commands import evaluate as module
from mmnet.commands.presets import resolve
from mmnet.datasets.pairs import Dataset
from mmnet.evaluation.report import published
from mmnet.inference import open as open_module
from mmnet.inference.checkpoints import CheckpointPredictor
from mmnet.io import checkpoint_files
from mmnet.tf import checkpoint
from mmnet.tf.device import Device

SMALL_SETTINGS = {
    "width_multiplier": str(SMALL.width_multiplier),
    "size": str(SMALL.shape[0]),
    "target_eval_shape": ["40", "30"],
}
LOOP = {"valid_type": "loop", "watch_timeout": "0s"}
MEANS = ("MAD/test", "MAD/test/40_30", "GAUSS_GRAD/test", "GAUSS_GRAD/test/40_30")


@pytest.fixture(scope="module")
def predictor():
    return CheckpointPredictor(SMALL)


@pytest.fixture(autouse=True)
def one_session(predictor, monkeypatch):
    """Every run takes its weights into the same session: opening one takes longer than scoring."""

    def loaded(weights, device):
        assert (weights.network, device) == (SMALL, Device())
        predictor.load(weights)
        return predictor

    monkeypatch.setattr(module, "open_weights", loaded)
    monkeypatch.setattr(open_module, "open_weights", loaded)


@pytest.fixture
def results_of(portraits, portrait_set):
    """Run the verb's scoring: (source, flags, a part of the portraits) -> results."""

    def results_of(source=None, data_set=portrait_set, **flags):
        flags = dict(SMALL_SETTINGS, dataset_path=[portraits], **flags)
        if source is not None:
            flags["checkpoint_path"] = str(source)
        settings = resolve("evaluate", flags)
        watching = settings.valid_type == "loop"
        score = module.score_all if watching else module.score_once
        return [result for _, result in score(settings, [data_set])]

    return results_of


@pytest.fixture
def part(portrait_set):
    """A Dataset of its first pictures only."""
    return lambda pictures: Dataset(
        portrait_set.path, portrait_set.split, portrait_set.pairs[:pictures]
    )


@pytest.fixture
def computed(monkeypatch):
    """The steps that were computed, not read: a growing list."""
    steps = []
    load = CheckpointPredictor.load

    def note(self, weights):
        steps.append(weights.step)
        return load(self, weights)

    monkeypatch.setattr(CheckpointPredictor, "load", note)
    return steps


def scalars_in(folder):
    """tag -> values in the order written, and the tags of pictures."""
    from mmnet.tf.compat import tf

    scalars, pictures = {}, set()
    for path in sorted(glob.glob(os.path.join(folder, "events*")), key=os.path.getmtime):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.HasField("image"):
                    pictures.add(value.tag)
                else:
                    scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars, pictures


def best_steps(output):
    folder = os.path.join(output, "best")
    return {name: steps_in(os.path.join(folder, name)) for name in os.listdir(folder)}


def steps_in(folder):
    prefixes = checkpoint_files.list_checkpoints(folder)
    return [checkpoint_files.step_of(prefix) for prefix in prefixes]


def test_once_scores_the_latest_and_writes_it_all(results_of, portrait_set, write_checkpoints):
    run = write_checkpoints(3, 20)
    (result,) = results_of(run)
    assert result.global_step == 20 and result.source == os.path.join(run, "MMNetModel-20")
    means = published(result, "test")
    (record,) = glob.glob(os.path.join(run, "eval", "*-test-40x30", "MMNetModel-20.json"))
    with open(record) as file:
        assert json.load(file)["scores"] == means
    with open(record.replace(".json", ".csv")) as file:
        assert len(file.readlines()) == 1 + len(portrait_set)
    scalars, pictures = scalars_in(os.path.join(run, "eval"))
    errors = {"errors/" + name for name in MEANS}
    assert set(scalars) == set(MEANS) | {"inference_time_ms/test"} | errors
    assert scalars["MAD/test"] == [(20, pytest.approx(means["MAD/test"]))]
    assert pictures == {"example/test/%d" % index for index in range(4)}
    assert best_steps(run) == {name.replace("/", "_"): [20] for name in MEANS}


def test_loop_keeps_the_best_and_computes_nothing_twice(results_of, write_checkpoints, computed):
    run = write_checkpoints(1, 2, 3)
    first = results_of(run, **LOOP)
    assert computed == [result.global_step for result in first] == [1, 2, 3]
    events = scalars_in(os.path.join(run, "eval"))[0]["MAD/test"]
    assert [step for step, _ in events] == [1, 2, 3]

    write_checkpoints(4, folder=run)
    second = results_of(run, **LOOP)
    assert computed == [1, 2, 3, 4]
    assert [result.global_step for result in second] == [1, 2, 3, 4]
    for before, after in zip(first, second):
        assert published(before, "test") == published(after, "test")
        assert before.stems == after.stems

    best = best_steps(run)
    for key, name in (
        (("mad", "network"), "MAD_test"),
        (("gauss_grad", "target"), "GAUSS_GRAD_test_40_30"),
    ):
        expected = min(second, key=lambda result: np.mean(result.scores[key])).global_step
        assert best[name] == [expected]
        folder = os.path.join(run, "best", name)
        checkpoint.read(checkpoint_files.find_checkpoint(folder))
        with open(os.path.join(folder, "checkpoint")) as file:
            assert file.read() == 'model_checkpoint_path: "MMNetModel-%d"\n' % expected
        assert len(os.listdir(folder)) == 4  # data, index, checkpoint, score.json


def test_a_damaged_record_is_scored_again(results_of, write_checkpoints, computed, caplog):
    run = write_checkpoints(1, 2)
    first = results_of(run, **LOOP)
    damaged = glob.glob(os.path.join(run, "eval", "*-test-40x30", "MMNetModel-1.*"))
    assert len(damaged) == 2
    for times, path in enumerate(damaged, 1):
        os.truncate(path, os.path.getsize(path) // 2)
        caplog.clear()
        again = results_of(run, **LOOP)
        assert computed == [1, 2] + [1] * times
        warnings = [record for record in caplog.records if record.levelname == "WARNING"]
        (said,) = [record.getMessage() for record in warnings]
        assert "MMNetModel-1.json is damaged" in said and "scored again" in said
        for before, after in zip(first, again):
            assert published(before, "test") == pytest.approx(published(after, "test"))
    results_of(run, **LOOP)  # the record is whole again
    assert computed == [1, 2, 1, 1]


def test_other_settings_are_computed_anew(results_of, part, write_checkpoints, computed):
    run = write_checkpoints(1)
    for shape, expected in ((["40", "30"], [1]), (["40", "30"], [1]), (["20", "20"], [1, 1])):
        results_of(run, **dict(LOOP, target_eval_shape=shape))
        assert computed == expected
    results_of(run, part(5), **LOOP)
    assert computed == [1, 1, 1]


def test_a_checkpoint_deleted_while_scored_is_kept_as_best(
    results_of, write_checkpoints, monkeypatch
):
    run = write_checkpoints(1, 2)
    evaluate = module.evaluate

    def evaluate_slowly(*args, **more):
        for prefix in checkpoint_files.list_checkpoints(run):  # as max_to_keep may meanwhile
            for path in checkpoint_files.files_of(prefix):
                os.unlink(path)
        return evaluate(*args, **more)

    monkeypatch.setattr(module, "evaluate", evaluate_slowly)
    assert [result.global_step for result in results_of(run, **LOOP)] == [1]
    assert best_steps(run)["MAD_test"] == [1]


def test_best_survives_a_kill_half_way(results_of, write_checkpoints):
    run = write_checkpoints(1, 2, 3)
    scores = {
        result.global_step: np.mean(result.scores["mad", "network"])
        for result in results_of(run, **LOOP)
    }
    best = min(scores, key=scores.get)
    other = os.path.join(run, "MMNetModel-%d" % min(set(scores) - {best}))
    folder = os.path.join(run, "best", "MAD_test")
    for path in checkpoint_files.files_of(other):  # killed before the old one went
        target = os.path.join(folder, os.path.basename(path))
        with open(path, "rb") as source, open(target, "wb") as copy:
            copy.write(source.read())
    results_of(other)
    assert best_steps(run)["MAD_test"] == [best]


def test_best_of_other_pictures_is_left_alone(results_of, part, write_checkpoints, caplog):
    run = write_checkpoints(1, 2)
    results_of(os.path.join(run, "MMNetModel-1"))
    results_of(os.path.join(run, "MMNetModel-2"), part(2))
    assert best_steps(run)["MAD_test"] == [1]
    assert "chosen on other pictures" in caplog.text


def test_a_read_only_folder_is_left_alone(results_of, write_checkpoints, caplog):
    run = write_checkpoints(5)
    os.chmod(run, 0o555)
    before = sorted(os.listdir(run))
    try:
        (result,) = results_of(run)
    finally:
        os.chmod(run, 0o755)
    assert result.global_step == 5
    assert sorted(os.listdir(run)) == before
    assert "cannot be written: the scores are printed only" in caplog.text


def test_untrained_weights_need_no_checkpoint(results_of, tmp_path):
    (result,) = results_of("untrained", output=str(tmp_path))
    assert published(result, "test")["checkpoint"] is None
    assert not (tmp_path / "best").exists()


def test_loop_needs_a_folder(results_of, write_checkpoints, tmp_path):
    prefix = os.path.join(write_checkpoints(1), "MMNetModel-1")
    for source in (str(tmp_path / "none"), prefix, "untrained"):
        with pytest.raises(FileNotFoundError, match="a loop watches a folder"):
            results_of(source, **LOOP)


def test_a_loop_may_begin_before_the_first_checkpoint(
    results_of, write_checkpoints, tmp_path, monkeypatch
):
    folder = str(tmp_path)
    assert results_of(folder, **LOOP) == []
    assert results_of(folder, **dict(LOOP, output=str(tmp_path / "scores"))) == []
    sleep = checkpoint.time.sleep

    def write_meanwhile(seconds):
        if not steps_in(folder):
            write_checkpoints(7, folder=folder)
        sleep(0)

    monkeypatch.setattr(checkpoint.time, "sleep", write_meanwhile)
    (result,) = results_of(folder, **dict(LOOP, watch_timeout="1s"))
    assert result.global_step == 7
