"""Tests of mmnet.io.tar_shards. tests/commands/test_shards.py tests whole commands."""

import errno
import os
import tarfile

import pytest

from helpers import assert_raises, tars
from mmnet.io.errors import MmnetError
from mmnet.io.tar_shards import Shard, TarShardWriter


def test_shards_are_a_partition():
    names = [f"folder/photo {number}" for number in range(1000)]
    shards = [[name for name in names if Shard(index, 3).contains(name)] for index in range(3)]
    assert sorted(sum(shards, [])) == sorted(names)
    assert min(map(len, shards)) > 250
    assert all(Shard(0, 1).contains(name) for name in names)


def test_writer_names_complete_files_and_continues(tmp_path):
    folder, shard = str(tmp_path), Shard(1, 4)
    with TarShardWriter(folder, shard, 2) as writer:
        for stem in ("a", "b/ü", "c"):
            members = writer.add(stem, {stem + "_alpha.png": b"1" + stem.encode()})
        path = os.path.join(folder, "results-1of4-000001.tar")
        assert members == {"c_alpha.png": path + ":c_alpha.png"}
        tar_files = [name for name in os.listdir(folder) if name.endswith(".tar")]
        assert tar_files == ["results-1of4-000000.tar"]  # the other one is not complete
    with TarShardWriter(folder, shard, 2) as writer:
        assert writer.finished_stems == {"a", "b/ü", "c"}
        writer.add("d", {"d_alpha.png": b""})
    assert TarShardWriter(folder, Shard(2, 4), 2).finished_stems == set()
    names = sorted(os.listdir(folder))
    assert names == [f"results-1of4-{number:06d}.tar" for number in range(3)]
    with tarfile.open(os.path.join(folder, names[0])) as tar:
        assert tar.getnames() == ["a_alpha.png", "b/ü_alpha.png"]
        assert tar.extractfile("b/ü_alpha.png").read() == "1b/ü".encode()


def test_writer_deletes_incomplete_file_on_full_disk(tmp_path, monkeypatch):
    names = []

    def add_until_full(tar, member, data):
        names.append(member.name)
        if len(names) == 2:
            raise OSError(errno.ENOSPC, "no space")

    with TarShardWriter(str(tmp_path), Shard(0, 1), 1) as writer:
        writer.add("a", {"a.png": b"1"})
    full_disk = assert_raises(OSError, "results-0of1-000001.tar")
    with full_disk, TarShardWriter(str(tmp_path), Shard(0, 1), 9) as writer:
        monkeypatch.setattr(tarfile.TarFile, "addfile", add_until_full)
        writer.add("b", {"b_alpha.png": b"1", "b_cutout.png": b"2"})
    assert os.listdir(str(tmp_path)) == ["results-0of1-000000.tar"]


@pytest.mark.parametrize("name", sorted(tars.damaged_tars()))
def test_writer_rejects_damaged_and_foreign_files(tmp_path, name):
    path = tmp_path / "results-0of1-000000.tar"
    path.write_bytes(tars.damaged_tars()[name])
    with assert_raises(MmnetError, path):
        TarShardWriter(str(tmp_path), Shard(0, 1), 1)
    assert path.read_bytes() == tars.damaged_tars()[name]


@pytest.mark.parametrize("blocks", range(tarfile.RECORDSIZE // tarfile.BLOCKSIZE))
def test_writer_accepts_its_files_of_every_length(tmp_path, blocks):
    with TarShardWriter(str(tmp_path), Shard(0, 1), 1) as writer:
        writer.add("a", {"a.png": bytes(blocks * tarfile.BLOCKSIZE)})
    assert TarShardWriter(str(tmp_path), Shard(0, 1), 1).finished_stems == {"a"}


@pytest.mark.parametrize("name", ["pipe", "device", "folder", "missing"])
def test_writer_rejects_links_to_other_files(tmp_path, name):
    os.mkfifo(str(tmp_path / "pipe"))
    (tmp_path / "folder").mkdir()
    path = tmp_path / "results-0of1-000000.tar"
    path.symlink_to("/dev/zero" if name == "device" else name)
    with assert_raises((MmnetError, FileNotFoundError), path):
        TarShardWriter(str(tmp_path), Shard(0, 1), 1)


def test_writer_reads_linked_files_and_continues_after_the_highest_number(tmp_path):
    (tmp_path / "elsewhere").write_bytes(tars.tar_of_results("a", "b"))
    (tmp_path / "results-0of1-1000000.tar").symlink_to("elsewhere")
    (tmp_path / "results-0of1-999999.tar").write_bytes(tars.tar_of_results("c"))
    with TarShardWriter(str(tmp_path), Shard(0, 1), 1) as writer:
        assert writer.finished_stems == {"a", "b", "c"}
        writer.add("d", {"d.png": b""})
    assert (tmp_path / "results-0of1-1000001.tar").exists()
