"""Parts of very many photos, and tar files of their results; whole runs of predict and evaluate."""

import errno
import json
import logging
import os
import subprocess
import sys
import tarfile
import time

import pytest

from helpers import ROOT, SMALL_FLAGS
from mmnet.cli import main
from mmnet.io.tar_shards import Shard, TarShardWriter


def test_every_name_is_in_one_part():
    names = ["folder/photo %d" % number for number in range(1000)]
    parts = [[name for name in names if Shard(index, 3).contains(name)] for index in range(3)]
    assert sorted(sum(parts, [])) == sorted(names)
    assert min(map(len, parts)) > 250
    assert all(Shard(0, 1).contains(name) for name in names)


def test_tars_are_whole_and_go_on(tmp_path):
    folder, shard = str(tmp_path), Shard(1, 4)
    with TarShardWriter(folder, shard, 2) as tars:
        for stem in ("a", "b/ü", "c"):
            added = tars.add(stem, {stem + "_alpha.png": b"1" + stem.encode()})
        assert added == {"c_alpha.png": os.path.join(folder, "results-1of4-000001.tar:c_alpha.png")}
        assert [name for name in os.listdir(folder) if name.endswith(".tar")] == [
            "results-1of4-000000.tar"  # the other is under construction
        ]
    with TarShardWriter(folder, shard, 2) as tars:
        assert tars.finished_stems == {"a", "b/ü", "c"}
        tars.add("d", {"d_alpha.png": b""})
    assert TarShardWriter(folder, Shard(2, 4), 2).finished_stems == set()
    names = sorted(os.listdir(folder))
    assert names == ["results-1of4-%06d.tar" % number for number in range(3)]
    with tarfile.open(os.path.join(folder, names[0])) as tar:
        assert tar.getnames() == ["a_alpha.png", "b/ü_alpha.png"]
        assert tar.extractfile("b/ü_alpha.png").read() == "1b/ü".encode()


def test_a_full_disk_leaves_no_half_photo(tmp_path, monkeypatch):
    """Nor what was being built; what was whole stays."""
    written = []

    def fill(tar, member, data):
        written.append(member.name)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "no space")

    with TarShardWriter(str(tmp_path), Shard(0, 1), 1) as tars:
        tars.add("a", {"a.png": b"1"})
    with pytest.raises(OSError, match="results-0of1-000001.tar"), TarShardWriter(
        str(tmp_path), Shard(0, 1), 9
    ) as tars:
        monkeypatch.setattr(tarfile.TarFile, "addfile", fill)
        tars.add("b", {"b_alpha.png": b"1", "b_cutout.png": b"2"})
    assert os.listdir(str(tmp_path)) == ["results-0of1-000000.tar"]


@pytest.fixture(scope="module")
def source(lively_weights):
    return ["--checkpoint_path", lively_weights.source] + SMALL_FLAGS


@pytest.fixture(scope="module")
def many(portrait_set, tmp_path_factory):
    """A folder with 24 photos in two sub-folders, links to six."""
    folder = tmp_path_factory.mktemp("many photos")
    for number in range(24):
        inside = folder / ("even" if number % 2 == 0 else "odd")
        inside.mkdir(exist_ok=True)
        os.symlink(
            os.path.abspath(portrait_set.pairs[number % 6].image), str(inside / ("%d.jpg" % number))
        )
    return str(folder)


def photos_told(capfd):
    return [json.loads(line)["photo"] for line in capfd.readouterr().out.splitlines()]


def test_parts_of_a_list_come_once_each(many, source, tmp_path, capfd, caplog):
    """The parts' photos are the list's; a photo that is done, and no older, is not done again."""
    caplog.set_level(logging.INFO)
    listed = tmp_path / "photos.txt"
    paths = [
        os.path.join(many, inside, name)
        for inside in ("even", "odd")
        for name in sorted(os.listdir(os.path.join(many, inside)))
    ]
    listed.write_text("\n".join(paths) + "\n\n")
    command = ["predict", str(listed), "--output", str(tmp_path / "out"), "--json", "--resume"]
    command += ["--write", "alpha"] + source
    seen = []
    for index in range(3):
        assert main(command + ["--shard", "%d/3" % index]) == 0
        seen += photos_told(capfd)
    assert sorted(seen) == sorted(paths)
    assert sorted(os.listdir(str(tmp_path / "out" / "odd")))[0] == "11_alpha.png"
    os.unlink(str(tmp_path / "out" / "odd" / "11_alpha.png"))
    os.utime(str(tmp_path / "out" / "even" / "2_alpha.png"), (1, 1))
    assert main(command) == 0
    assert [os.path.basename(path) for path in photos_told(capfd)] == ["2.jpg", "11.jpg"]
    assert "22 of 24 are done, 2 are left" in caplog.text


def test_killed_and_resumed_tars_hold_every_photo_once(many, source, tmp_path, capfd):
    out = str(tmp_path / "out")
    command = ["predict", many, "--output", out, "--write", "alpha", "--tar", "5", "--json"]
    command += ["--jobs", "2", "--resume"] + source
    # It is killed once ten photos lie in whole tar files.
    process = subprocess.Popen(
        [sys.executable, "-m", "mmnet"] + command, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not os.path.exists(os.path.join(out, "results-0of1-000000.tar")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert main(command) == 0
    assert len(photos_told(capfd)) <= 19
    names = []
    for name in sorted(os.listdir(out)):
        if name.endswith(".tar"):
            with tarfile.open(os.path.join(out, name)) as tar:
                names += tar.getnames()
    assert len(names) == 24 and len(set(names)) == 24 and "odd/11_alpha.png" in names
    assert main([word for word in command if word != "--resume"]) == 2
    assert "holds tar files of 24 photos: --resume goes on" in capfd.readouterr().err


def test_scores_of_parts_put_together_are_those_of_the_whole(
    portraits, source, tmp_path, capfd, caplog
):
    caplog.set_level(logging.INFO)
    out = ["--output", str(tmp_path / "parts")]
    command = ["evaluate", "--dataset_path", portraits, "--json"] + source
    assert main(command + ["--output", str(tmp_path / "whole")]) == 0
    whole = json.loads(capfd.readouterr().out)
    for index in range(2):
        assert main(command + out + ["--merge_shards", "2"]) == 2
        assert "--shard %d/2" % index in capfd.readouterr().err
        assert main(command + out + ["--shard", "%d/2" % index]) == 0
    capfd.readouterr()
    assert main(command + out + ["--shard", "0/2"]) == 0
    capfd.readouterr()
    assert "scores read from" in caplog.text  # not computed again
    empty = next(
        shard
        for shard in range(100)
        if not any(Shard(shard, 100).contains("portrait0_%04d" % number) for number in range(1, 7))
    )
    assert main(command + out + ["--shard", "%d/100" % empty]) == 0
    assert "holds none of the 6 pictures" in caplog.text
    capfd.readouterr()
    assert main(command + out + ["--merge_shards", "2"]) == 0
    merged = json.loads(capfd.readouterr().out)
    assert merged["pictures"] == whole["pictures"] == 6
    for name, value in whole.items():
        if "/" in name:
            assert merged[name] == pytest.approx(value, abs=1e-6)  # a CSV's digits


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--shard", "2/2"], "--shard: I/N, such as 0/8 to 7/8"),
        (["--shard", "half"], "--shard: I/N"),
        (["--tar", "5", "--output", "one.png"], "--tar is for photos, and --output then names"),
        (["--tar", "0"], "--tar"),
    ],
)
def test_bad_parts(many, tmp_path, capfd, flags, says):
    photo = os.path.join(many, "odd", "11.jpg")
    assert main(["predict", photo, "--output", str(tmp_path)] + flags) == 2
    err = capfd.readouterr().err
    assert says in err and err.count("\n") == 1


def test_lists_that_are_none(tmp_path, capfd, caplog):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    assert main(["predict", str(empty), "--output", str(tmp_path / "out")]) == 2
    assert "lists no photos" in capfd.readouterr().err
    empty.write_text("none.jpg\nnone too.jpg\n")
    assert main(["predict", str(empty), "--output", str(tmp_path / "out")]) == 2
    assert "none too.jpg" in caplog.text
