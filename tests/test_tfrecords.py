"""Data sets packed into TFRecord shards: the same pairs, and TensorFlow's own reading of them."""

import os

import numpy as np
import pytest

from conftest import SMALL_FLAGS
from mmnet.cli import main
from mmnet.compat import tf
from mmnet.data.pairs import find_data_set, read_pair
from mmnet.data.samples import open_samples
from mmnet.data.tfrecords import read_shard, shards_in
from mmnet.files import read_bytes


@pytest.fixture(scope="module")
def packed(portraits, tmp_path_factory):
    """The data set ``portraits``, six pairs, in four shards."""
    target = str(tmp_path_factory.mktemp("packed") / "a set")
    assert main(["data", "pack", portraits, target, "--shards", "4"]) == 0
    return target


def test_pairs_are_the_same(portrait_set, packed):
    data_set = find_data_set(packed, "test")
    assert len(os.listdir(os.path.join(packed, "test"))) == 4
    assert [pair.stem for pair in data_set.pairs] == [pair.stem for pair in portrait_set.pairs]
    for pair, original in zip(data_set.pairs, portrait_set.pairs):
        assert read_bytes(pair.image) == read_bytes(original.image)
        assert all(map(np.array_equal, read_pair(pair), read_pair(original)))
    assert len(data_set.sha256) == 64
    with pytest.raises(FileNotFoundError, match="it has test$"):
        find_data_set(packed, "train")


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_samples_are_the_same(portrait_set, packed, tmp_path, cache):
    samples, originals = (
        open_samples(data_set, (64, 64), cache, folder=str(tmp_path / "cache"))
        for data_set in (find_data_set(packed, "test"), portrait_set)
    )
    for index in range(len(originals)):
        assert all(map(np.array_equal, samples[index], originals[index]))


def test_tensorflow_reads_the_records(portrait_set, packed):
    stems = []
    for shard in shards_in(os.path.join(packed, "test")):
        for record in tf.io.tf_record_iterator(shard):  # it checks the checksums
            features = tf.train.Example.FromString(record).features.feature
            stems.append(features["stem"].bytes_list.value[0].decode())
            image = features["image"].bytes_list.value[0]
            pair = next(pair for pair in portrait_set.pairs if pair.stem == stems[-1])
            assert image == read_bytes(pair.image)
    assert sorted(stems) == [pair.stem for pair in portrait_set.pairs]


def test_it_is_trained_on_and_scored(packed, write_checkpoints, tmp_path, capfd):
    command = ["train", "--dataset_path", packed, "--dataset_split_name", "test"]
    command += ["--train_dir", str(tmp_path), "--batch_size", "2", "--max_step_from_restore", "2"]
    assert main(command + SMALL_FLAGS) == 0
    command = ["evaluate", "--dataset_path", packed, "--checkpoint_path", str(tmp_path)]
    assert main(command + SMALL_FLAGS) == 0
    assert "6 pictures" in capfd.readouterr().out


def test_damaged_shards(packed, tmp_path, capfd):
    shard = shards_in(os.path.join(packed, "test"))[0]
    data = read_bytes(shard)
    (tmp_path / "test").mkdir()
    other = tmp_path / "test" / "a.tfrecord"
    for bad in (data[:-5], data[:7], data[: len(data) // 2], data[:20] + bytes(400) + data[420:]):
        other.write_bytes(bad)
        with pytest.raises(ValueError, match="is damaged, cut off, or holds no pairs: mmnet data"):
            read_shard(str(other))
    with tf.io.TFRecordWriter(str(other)) as writer:
        writer.write(b"no example")
    with pytest.raises(ValueError, match="holds no pairs"):
        read_shard(str(other))
    other.write_bytes(b"")
    assert main(["evaluate", "--dataset_path", str(tmp_path)] + SMALL_FLAGS) == 2
    assert "holds no pairs in its shards" in capfd.readouterr().err


def test_a_target_that_holds_something_else_stays(portraits, tmp_path, capfd):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "mine.txt").write_text("mine")
    assert main(["data", "pack", portraits, str(tmp_path)]) == 2
    assert "holds something else (mine.txt)" in capfd.readouterr().err
    assert os.listdir(str(tmp_path / "test")) == ["mine.txt"]
