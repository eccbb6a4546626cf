"""The predict verb."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from helpers import ROOT, SMALL_FLAGS
from helpers.matting import brightness
from mmnet.commands.predict import OutputOptions, Photo, find_photos, predict_photos
from mmnet.io.images import decode_image, load_mask, read_image, save_png

BLACK = np.zeros(3, np.uint8)


def test_photos_are_found_once_and_never_overwrite_each_other(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name in ("b.JPG", "a.png", "notes.txt"):
        (folder / name).write_bytes(b"")
    out = str(tmp_path / "out")
    found = find_photos([str(folder), str(folder / "a.png")], out)
    assert found == [Photo(str(folder / "a.png"), "a"), Photo(str(folder / "b.JPG"), "b")]
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="same files"):
        find_photos([str(folder)], out)
    with pytest.raises(ValueError, match="output folder too"):
        find_photos([str(folder)], str(folder))
    with pytest.raises(FileNotFoundError, match="no photo, clip or folder .*none"):
        find_photos([str(tmp_path / "none")], out)


def test_folders_are_mirrored_with_their_sub_folders(tmp_path):
    names = ["2025/may/a.jpg", "2025/a.jpg", "2026/a.jpg", "b.jpg", "out/b_cutout.jpg", ".x/c.jpg"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = find_photos([str(tmp_path)], str(tmp_path / "out"))
    assert [photo.stem for photo in found] == ["b", "2025/a", "2025/may/a", "2026/a"]


def test_a_broken_file_among_many_is_skipped(portrait_set, tmp_path):
    good = portrait_set.pairs[0].image
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    out = str(tmp_path / "out")
    photos = [Photo(str(broken), "broken"), Photo(good, "further/good")]
    wanted = OutputOptions(("alpha", "cutout", "composition", "side-by-side"), BLACK)
    first, second = predict_photos(brightness((64, 64)), photos, out, wanted, jobs=2)
    assert "broken.jpg: not a JPEG" in first.error and first.alpha is None
    image = read_image(good)
    assert second.error is None
    cutout = cv2.imread(second.cutout, cv2.IMREAD_UNCHANGED)
    assert cutout.shape == image.shape[:2] + (4,)
    assert read_image(second.composition).shape == image.shape
    height, width = image.shape[:2]
    assert read_image(second.side_by_side).shape == (height, 3 * width, 3)
    alpha = load_mask(second.alpha)
    assert alpha.shape == image.shape[:2]
    assert second.person_share == pytest.approx(alpha.mean(), abs=0.01)
    assert len(os.listdir(os.path.join(out, "further"))) == 4
    assert os.listdir(out) == ["further"]


def test_more_jobs_change_nothing(portrait_set, tmp_path):
    photos = [Photo(pair.image, pair.stem) for pair in portrait_set.pairs]
    for jobs in (1, 3):
        out = str(tmp_path / str(jobs))
        results = list(predict_photos(brightness((64, 64)), photos, out, jobs=jobs))
        assert [result.photo for result in results] == [photo.path for photo in photos]
    for name in os.listdir(str(tmp_path / "1")):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_from_standard_input_to_standard_output(portrait_set, lively_weights):
    """A photo comes and goes through pipes, as bytes, while messages go elsewhere."""
    with open(portrait_set.pairs[0].image, "rb") as file:
        photo = file.read()
    command = [sys.executable, "-m", "mmnet", "predict", "-", "--output", "-"]
    command += ["--checkpoint_path", lively_weights.source] + SMALL_FLAGS
    done = subprocess.run(command, input=photo, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    assert cv2.imdecode(np.frombuffer(done.stdout, np.uint8), -1).shape[2] == 4
    command += ["--background", "blur"]
    done = subprocess.run(command, input=photo, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    assert decode_image(done.stdout, "a PNG").shape == read_image(portrait_set.pairs[0].image).shape


def test_without_a_checkpoint_the_weights_in_the_box_cut_out(portrait_set, tmp_path, capfd):
    from mmnet.cli import main

    pair = portrait_set.pairs[0]
    assert main(["predict", pair.image, "--output", str(tmp_path), "--write", "alpha"]) == 0
    (name,) = os.listdir(str(tmp_path))
    alpha, truth = load_mask(str(tmp_path / name)), load_mask(pair.mask)
    assert np.abs(alpha - truth).mean() < 0.15  # a drawing, which they were not trained on
    assert "_alpha.png (person: " in capfd.readouterr().out


def test_what_does_not_go_together(tmp_path, capfd):
    from mmnet.cli import main

    save_png(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    save_png(str(tmp_path / "b.png"), np.zeros((9, 9, 3), np.uint8))
    for arguments, says in (
        ([str(tmp_path), "--output", "-"], "--output - writes one picture"),
        ([str(tmp_path / "a.png"), "--output", "x", "--write", "composition"], "needs --backgr"),
        ([str(tmp_path / "a.png"), "--output", "x", "--write", "all"], "--write: one of alpha, "),
        ([str(tmp_path / "a.png"), "--output", "x", "--jobs", "0"], "--jobs: a whole number above"),
    ):
        assert main(["predict"] + arguments) == 2
        error = capfd.readouterr().err
        assert says in error and error.count("\n") == 1
