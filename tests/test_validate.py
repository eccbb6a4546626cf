import glob
import json
import os

import numpy as np
import pytest

from conftest import SMALL
from mmnet import checkpoint
from mmnet.data.pairs import load_pairs
from mmnet.delivery import validate as validate_module
from mmnet.delivery.validate import validate
from mmnet.scoring.report import published

OPTIONS = dict(SMALL, target_eval_shape=(40, 30))


@pytest.fixture
def pairs(portraits):
    return load_pairs(portraits, "test")


@pytest.fixture
def computed(monkeypatch):
    """The steps that were computed, not read: a growing list."""
    steps = []
    restore = validate_module.CheckpointPredictor.restore
    monkeypatch.setattr(validate_module.CheckpointPredictor, "restore",
                        lambda self, prefix: steps.append(checkpoint.step_of(prefix)) or restore(self, prefix))
    return steps


def scalars_in(folder):
    """tag -> values in the order written, and the tags of pictures."""
    from mmnet.compat import tf
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
    return {name: [checkpoint.step_of(prefix) for prefix in checkpoint.list_checkpoints(os.path.join(output, "best", name))]
            for name in os.listdir(os.path.join(output, "best"))}


def test_once_scores_the_latest_and_writes_it_all(pairs, write_checkpoints):
    run = write_checkpoints(3, 20)
    (result,) = validate(pairs, "test", run, **OPTIONS)
    assert result.global_step == 20 and result.checkpoint == os.path.join(run, "MMNetModel-20")
    means = published(result, "test")
    (record,) = glob.glob(os.path.join(run, "eval", "*-test-40x30", "MMNetModel-20.json"))
    with open(record) as file:
        assert json.load(file)["scores"] == means
    with open(record.replace(".json", ".csv")) as file:
        assert len(file.readlines()) == 1 + len(pairs)
    scalars, pictures = scalars_in(os.path.join(run, "eval"))
    assert set(scalars) == {"MAD/test", "MAD/test/40_30", "GAUSS_GRAD/test", "GAUSS_GRAD/test/40_30", "inference_time_ms/test"}
    assert scalars["MAD/test"] == [(20, pytest.approx(means["MAD/test"]))]
    assert pictures == {"example/test/%d" % index for index in range(4)}
    assert best_steps(run) == {name: [20] for name in ("MAD_test", "MAD_test_40_30", "GAUSS_GRAD_test", "GAUSS_GRAD_test_40_30")}


def test_loop_keeps_the_best_and_computes_nothing_twice(pairs, write_checkpoints, computed):
    run = write_checkpoints(1, 2, 3)
    first = list(validate(pairs, "test", run, loop=True, watch_timeout=0, **OPTIONS))
    assert computed == [result.global_step for result in first] == [1, 2, 3]
    events = scalars_in(os.path.join(run, "eval"))[0]["MAD/test"]
    assert [step for step, _ in events] == [1, 2, 3]

    write_checkpoints(4, folder=run)
    second = list(validate(pairs, "test", run, loop=True, watch_timeout=0, **OPTIONS))
    assert computed == [1, 2, 3, 4]
    assert [result.global_step for result in second] == [1, 2, 3, 4]
    for before, after in zip(first, second):
        assert published(before, "test") == published(after, "test")
        assert before.stems == after.stems

    best = best_steps(run)
    for column, name in (("mad_64", "MAD_test"), ("gauss_grad_40_30", "GAUSS_GRAD_test_40_30")):
        expected = min(second, key=lambda result: np.mean(result.scores[column])).global_step
        assert best[name] == [expected]
        folder = os.path.join(run, "best", name)
        checkpoint.read(checkpoint.resolve(folder))
        with open(os.path.join(folder, "checkpoint")) as file:
            assert file.read() == 'model_checkpoint_path: "MMNetModel-%d"\n' % expected
        assert len(os.listdir(folder)) == 4  # data, index, checkpoint, score.json


def test_other_settings_are_computed_anew(pairs, write_checkpoints, computed):
    run = write_checkpoints(1)
    for shape, expected in (((40, 30), [1]), ((40, 30), [1]), ((20, 20), [1, 1])):
        list(validate(pairs, "test", run, loop=True, watch_timeout=0, **dict(OPTIONS, target_eval_shape=shape)))
        assert computed == expected
    list(validate(pairs[1:], "test", run, loop=True, watch_timeout=0, **OPTIONS))
    assert computed == [1, 1, 1]


def test_a_checkpoint_deleted_while_scored_is_kept_as_best(pairs, write_checkpoints, monkeypatch):
    run = write_checkpoints(1, 2)
    evaluate = validate_module.evaluate

    def evaluate_slowly(*args):
        for prefix in checkpoint.list_checkpoints(run):  # what max_to_keep may do in the meantime
            for path in checkpoint.files_of(prefix):
                os.unlink(path)
        return evaluate(*args)
    monkeypatch.setattr(validate_module, "evaluate", evaluate_slowly)
    results = list(validate(pairs, "test", run, loop=True, watch_timeout=0, **OPTIONS))
    assert [result.global_step for result in results] == [1]
    assert best_steps(run)["MAD_test"] == [1]


def test_best_survives_a_kill_half_way(pairs, write_checkpoints):
    run = write_checkpoints(1, 2, 3)
    results = {result.global_step: np.mean(result.scores["mad_64"])
               for result in validate(pairs, "test", run, loop=True, watch_timeout=0, **OPTIONS)}
    best = min(results, key=results.get)
    other = min(set(results) - {best})
    folder = os.path.join(run, "best", "MAD_test")
    for path in checkpoint.files_of(os.path.join(run, "MMNetModel-%d" % other)):  # killed before the old one went
        with open(path, "rb") as source, open(os.path.join(folder, os.path.basename(path)), "wb") as target:
            target.write(source.read())
    list(validate(pairs, "test", os.path.join(run, "MMNetModel-%d" % other), **OPTIONS))
    assert best_steps(run)["MAD_test"] == [best]


def test_best_of_other_pictures_is_left_alone(pairs, write_checkpoints, caplog):
    run = write_checkpoints(1, 2)
    list(validate(pairs, "test", os.path.join(run, "MMNetModel-1"), **OPTIONS))
    list(validate(pairs[:2], "test", os.path.join(run, "MMNetModel-2"), **OPTIONS))
    assert best_steps(run)["MAD_test"] == [1]
    assert "chosen on other pictures" in caplog.text


def test_a_read_only_folder_is_left_alone(pairs, write_checkpoints, caplog):
    run = write_checkpoints(5)
    os.chmod(run, 0o555)
    before = sorted(os.listdir(run))
    try:
        (result,) = validate(pairs, "test", run, **OPTIONS)
    finally:
        os.chmod(run, 0o755)
    assert result.global_step == 5
    assert sorted(os.listdir(run)) == before
    assert "cannot be written: the scores are printed only" in caplog.text


def test_untrained_weights_need_no_checkpoint(pairs, tmp_path):
    (result,) = validate(pairs, "test", output=str(tmp_path), **OPTIONS)
    assert published(result, "test")["checkpoint"] is None
    assert not (tmp_path / "best").exists()


def test_loop_needs_a_folder(pairs, tmp_path):
    with pytest.raises(FileNotFoundError, match="a loop watches a folder"):
        next(validate(pairs, "test", str(tmp_path / "none"), loop=True, **OPTIONS))
