import hashlib
import os

import pytest

from mmnet.io import checkpoint_files

DATA = ".data-00000-of-00001"


@pytest.fixture
def run(tmp_path):
    """A folder with the files of checkpoints of steps 9, 10 and 100, as TensorFlow names them."""
    for step in (100, 9, 10):
        for ending in (DATA, ".index"):
            (tmp_path / ("MMNetModel-%d%s" % (step, ending))).write_text("%d%s" % (step, ending))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "MMNetModel-10"\n')
    return str(tmp_path)


def test_finding(run):
    steps = [checkpoint_files.step_of(prefix) for prefix in checkpoint_files.list_checkpoints(run)]
    assert steps == [9, 10, 100]
    latest = os.path.join(run, "MMNetModel-100")
    for path in (run, latest, latest + ".index", latest + ".meta", latest + DATA):
        assert checkpoint_files.resolve(path) == latest
    assert checkpoint_files.step_of("model.ckpt") is None


def test_a_prefix_without_a_folder(run, monkeypatch):
    monkeypatch.chdir(run)
    assert checkpoint_files.resolve("MMNetModel-9") == "MMNetModel-9"
    names = ["MMNetModel-9" + DATA, "MMNetModel-9.index"]
    assert checkpoint_files.files_of("MMNetModel-9") == names


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint .*MMNetModel-8"):
        checkpoint_files.resolve(os.path.join(run, "MMNetModel-8"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no checkpoint .* in"):
        checkpoint_files.resolve(str(tmp_path / "empty"))
    os.unlink(os.path.join(run, "MMNetModel-100.index"))
    with pytest.raises(FileNotFoundError, match="data file but not its index"):
        checkpoint_files.resolve(os.path.join(run, "MMNetModel-100"))


def test_files_the_index_last_and_no_other_steps(run):
    prefix = os.path.join(run, "MMNetModel-10")
    assert checkpoint_files.files_of(prefix) == [prefix + DATA, prefix + ".index"]
    with open(prefix + ".index", "rb") as file:
        assert checkpoint_files.index_sha256(prefix) == hashlib.sha256(file.read()).hexdigest()


def test_delete_takes_one_and_its_record(run):
    prefix = os.path.join(run, "MMNetModel-10")
    with open(prefix + ".json", "w") as file:
        file.write("{}")
    checkpoint_files.delete(prefix)
    left = sorted(name for name in os.listdir(run) if name != "checkpoint")
    names = ["MMNetModel-%d%s" % (step, ending) for step in (100, 9) for ending in (DATA, ".index")]
    assert left == names
    checkpoint_files.delete(os.path.join(run, "MMNetModel-9"))  # which has no record
    assert checkpoint_files.list_checkpoints(run) == [os.path.join(run, "MMNetModel-100")]
