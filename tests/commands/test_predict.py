"""Tests of mmnet.commands.predict and mmnet.matting.process."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, SMALL_FLAGS, assert_message
from helpers.colours import ADOBE, CUBE, make_profile, reference_srgb
from helpers.images import draw_scene, make_exif, save
from helpers.matting import brightness_predictor
from mmnet.cli import main
from mmnet.commands.predict import Options, print_results
from mmnet.io.images import read_image, save_png
from mmnet.io.masks import load_mask
from mmnet.matting.background import Background
from mmnet.matting.compose import KINDS, OutputOptions
from mmnet.matting.files import InputFile, Output
from mmnet.matting.process import Result, process_photos


@pytest.fixture
def flags(small_weights):
    return ["--checkpoint_path", small_weights.source] + SMALL_FLAGS


@pytest.fixture
def photo(portrait_set):
    return portrait_set.pairs[0].image


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    clips = pytest.importorskip("helpers.clips")
    return clips.write_clip(str(tmp_path_factory.mktemp("clips") / "walk.mp4"))


def test_process_photos_writes_all_kinds(photo, tmp_path):
    options = OutputOptions(KINDS, Background((0, 0, 0)))
    files = [InputFile(photo, "further/good")]
    (result,) = process_photos(files, brightness_predictor(), Output(str(tmp_path)), options)
    image, alpha = read_image(photo), load_mask(result.outputs["alpha"])
    height, width = image.shape[:2]
    assert result.error is None and alpha.shape == (height, width)
    assert result.person_fraction == pytest.approx(alpha.mean(), abs=0.01)
    cutout = cv2.imread(result.outputs["cutout"], cv2.IMREAD_UNCHANGED)
    assert cutout.shape == (height, width, 4)
    assert read_image(result.outputs["composition"]).shape == image.shape
    assert read_image(result.outputs["side-by-side"]).shape == (height, 3 * width, 3)
    assert len(os.listdir(str(tmp_path / "further"))) == 4
    assert os.listdir(str(tmp_path)) == ["further"]


def test_process_photos_skips_broken_files(photo, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    files = [InputFile(str(broken), "broken"), InputFile(photo, "good")]
    output = Output(str(tmp_path / "out"))
    first, second = process_photos(files, brightness_predictor(), output, threads=2)
    assert_message(first.error, broken)
    assert first.outputs == {} and second.error is None


def test_process_photos_is_independent_of_threads(portrait_set, tmp_path):
    files = [InputFile(pair.image, pair.stem) for pair in portrait_set.pairs]
    for threads in (1, 3):
        output = Output(str(tmp_path / str(threads)))
        results = list(process_photos(files, brightness_predictor(), output, threads=threads))
        assert [result.path for result in results] == [file.path for file in files]
    names = os.listdir(str(tmp_path / "1"))
    assert len(names) == 2 * len(files)
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


DONE = Result("a", {"alpha": "a_alpha.png"}, 0.5)


@pytest.mark.parametrize(
    "results, code",
    [
        pytest.param([], 0, id="nothing to do"),
        pytest.param([DONE], 0, id="success"),
        pytest.param([DONE, Result("b", error="broken")], 1, id="one skipped"),
        pytest.param([DONE._replace(warnings=["truncated"])], 1, id="clip in part"),
        pytest.param([Result("a", error="x"), Result("b", error="x")], 2, id="all skipped"),
    ],
)
def test_print_results_returns_the_exit_code(results, code):
    assert print_results(results, Options(photos=("photos",), output="out")) == code


@pytest.mark.parametrize(
    "results, start",
    [
        pytest.param([DONE], None, id="one photo"),
        pytest.param([DONE] * 20, "20 photos, ", id="photos"),
        pytest.param([Result("b", error="x")] * 2, "2 skipped, ", id="nothing"),
        pytest.param(
            [DONE, Result("b", error="x"), DONE._replace(frames=3)],
            "1 photos, 1 clips, 1 skipped, ",
            id="mixed",
        ),
    ],
)
def test_print_results_ends_with_a_summary(results, start, caplog):
    caplog.set_level("INFO")
    print_results(results, Options(photos=("photos",), output="out"))
    summaries = [record for record in caplog.records if record.levelname == "INFO"]
    assert [record.getMessage().startswith(start) for record in summaries] == [True] * bool(start)


def test_predict_uses_the_bundled_weights_by_default(portrait_set, tmp_path, capfd):
    pair = portrait_set.pairs[0]
    assert main(["predict", pair.image, "--output", str(tmp_path), "--write", "alpha"]) == 0
    (name,) = os.listdir(str(tmp_path))
    alpha, truth = load_mask(str(tmp_path / name)), load_mask(pair.mask)
    assert np.abs(alpha - truth).mean() < 0.15  # a drawing; the network was trained on photos
    assert_message(capfd.readouterr().out, pair.image, name, "person: ")


def test_predict_reads_stdin_and_writes_stdout(photo, flags):
    with open(photo, "rb") as file:
        data = file.read()
    command = [sys.executable, "-m", "mmnet", "predict", "-", "--output", "-"] + flags
    for background, channels in (([], 4), (["--background", "blur"], 3)):
        png = subprocess.check_output(command + background, input=data, cwd=ROOT)
        image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image.shape == read_image(photo).shape[:2] + (channels,)


@pytest.mark.parametrize(
    "name, kind, channels",
    [
        ("o.jpg", "composition", 3),
        ("o.JPEG", "side-by-side", 3),
        ("o.jpg", "alpha", 1),
        ("o.webp", "composition", 3),
        ("o.webp", "cutout", 4),
    ],
)
def test_predict_writes_one_file(photo, flags, tmp_path, name, kind, channels):
    path = str(tmp_path / "new" / name)
    command = ["predict", photo, "--output", path, "--write", kind, "--background", "red"]
    assert main(command + flags) == 0
    height, width = read_image(photo).shape[:2]
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    assert image.shape[:2] == (height, width * (3 if kind == "side-by-side" else 1))
    assert image.size == image.shape[0] * image.shape[1] * channels
    assert os.listdir(str(tmp_path / "new")) == [name]


def test_predict_keeps_metadata_and_colours(flags, tmp_path):
    exif = make_exif({0x132: "2024:05:06 10:00:00"}, gps={1: "N"})
    profile, path = make_profile(*ADOBE), tmp_path / "a.jpg"
    path.write_bytes(save(CUBE, "jpeg", exif=exif, icc_profile=profile, dpi=(300, 300), quality=95))
    with Image.open(str(path)) as image:
        expected = reference_srgb(image, profile)
    for keep_gps in (False, True):
        output = str(tmp_path / "o.png")
        command = ["predict", str(path), "--output", output, "--no_foreground_colours"] + flags
        assert main(command + ["--keep_gps"] * keep_gps) == 0
        with Image.open(output) as image:
            assert np.abs(np.array(image)[..., :3] - expected).max() <= 2
            exif = image.getexif()
            assert exif[0x132] == "2024:05:06 10:00:00"
            assert bool(exif.get_ifd(0x8825)) == keep_gps
            assert "srgb" in image.info and image.info["dpi"][0] == pytest.approx(300, abs=0.1)


def test_predict_keeps_transparency(flags, tmp_path):
    scene = draw_scene()
    opacity = np.full(scene.shape[:2], 255, np.uint8)
    opacity[:, :30] = 0
    path, output = str(tmp_path / "a.png"), str(tmp_path / "o.png")
    save_png(path, np.dstack([scene, opacity]))
    command = ["predict", path, "--output", output, "--no_cleaning"]  # random alphas are islands
    assert main(command + flags) == 0
    alpha = cv2.imread(output, cv2.IMREAD_UNCHANGED)[..., 3]
    assert alpha[:, :30].max() == 0 and alpha[:, 30:].max() > 0


def test_predict_writes_no_image_to_a_terminal(photo, flags, capfd):
    _, terminal = os.openpty()
    command = [sys.executable, "-m", "mmnet", "predict", photo, "--output", "-"] + flags
    result = subprocess.run(command, cwd=ROOT, stdout=terminal, stderr=subprocess.PIPE, timeout=60)
    os.close(terminal)
    assert result.returncode == 2
    assert_message(result.stderr.decode(), "--output -", "terminal")


def test_predict_resumes(portrait_set, flags, tmp_path, caplog):
    folder = os.path.dirname(portrait_set.pairs[0].image)
    command = ["predict", folder, "--output", str(tmp_path), "--write", "alpha", "--resume"] + flags
    assert main(command) == 0
    names = sorted(os.listdir(str(tmp_path)))
    assert len(names) == 6
    missing, outdated = tmp_path / names[0], tmp_path / names[1]
    missing.unlink()
    os.utime(str(outdated), (1, 1))  # older than its photo
    caplog.clear()
    assert main(command) == 0
    assert missing.exists() and outdated.stat().st_mtime > 1
    assert_message(caplog.text, "4 of 6", "2 remain")


def test_predict_shards_write_tar_files(portrait_set, flags, tmp_path, capfd):
    folder = os.path.dirname(portrait_set.pairs[0].image)
    command = ["predict", folder, "--output", str(tmp_path), "--tar", "2", "--write", "alpha"]
    for index in range(2):
        assert main(command + ["--shard", f"{index}/2"] + flags) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 6 and all(".tar:portrait" in line for line in lines)
    assert main(command + ["--shard", "0/2"] + flags) == 2
    assert_message(capfd.readouterr().err, "--output", tmp_path, "--resume")
    assert main(command + ["--shard", "0/2", "--resume"] + flags) == 0


def test_predict_reports_photos_without_people(photo, tmp_path, capfd):
    black = str(tmp_path / "black.png")
    save_png(black, np.zeros((60, 80, 3), np.uint8))
    out = str(tmp_path / "out")
    assert main(["predict", black, photo, "--output", out, "--json"]) == 0
    output = capfd.readouterr()
    records = [json.loads(line) for line in output.out.splitlines()[:2]]
    assert [record["person_found"] for record in records] == [False, True]
    assert os.path.exists(records[0]["cutout"])
    assert output.err.count("no person found") == 1 and black in output.err


def test_predict_prints_json_of_photos_and_clips(photo, clip, flags, tmp_path, capfd):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    out = str(tmp_path / "out")
    assert main(["predict", photo, str(broken), clip, "--output", out, "--json"] + flags) == 1
    good, bad, last, summary = map(json.loads, capfd.readouterr().out.splitlines())
    kinds = ["alpha", "cutout", "composition", "side_by_side"]
    assert list(good) == ["photo", *kinds, "person_share", "person_found", "error"]
    assert list(bad) == list(good) and bad["photo"] == str(broken) and bad["alpha"] is None
    assert_message(bad["error"], broken)
    clip_keys = ["frames", "frames_per_second", "problems", "notes", "error"]
    assert list(last) == ["clip", *kinds, "person_share", "person_found", *clip_keys]
    assert (last["clip"], last["frames"], last["problems"]) == (clip, 12, [])
    assert last["frames_per_second"] > 0
    assert summary.pop("seconds") > 0
    assert summary == {"photos": 1, "clips": 1, "skipped": 1}
    assert last["cutout"] == os.path.join(out, "walk_cutout.webm") and os.path.exists(
        last["cutout"]
    )


def test_predict_continues_after_a_clip_without_decoder(clip, flags, tmp_path, capfd):
    clips = pytest.importorskip("helpers.clips")
    unknown = tmp_path / "unknown.mkv"
    clips.write_clip(str(unknown))
    unknown.write_bytes(unknown.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_ABCDE/FGH/IJK"))
    out = str(tmp_path / "out")
    command = ["predict", str(unknown), clip, "--output", out, "--write", "alpha"]
    assert main(command + flags) == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 2
    assert_message(error, unknown, "decoder", "1 clips", "1 skipped")
    assert os.listdir(out) == ["walk_alpha.mp4"]


def test_predict_composes_photos_and_clips_over_a_clip(photo, clip, flags, tmp_path):
    command = ["predict", photo, clip, "--output", str(tmp_path), "--background", clip]
    assert main(command + flags) == 0
    stem = os.path.splitext(os.path.basename(photo))[0]
    expected = {"walk_composition.mp4", f"{stem}_composition.png"}
    assert expected <= set(os.listdir(str(tmp_path)))


@pytest.mark.parametrize("background", ["#0000ff", "clip"])
def test_predict_writes_rotated_clips_upright(clip, flags, tmp_path, capfd, background):
    clips = pytest.importorskip("helpers.clips")
    rotated = clips.set_display_matrix(
        clips.write_clip(str(tmp_path / "rotated.mp4"), audio=None), (0, 1, -1, 0)
    )
    path = str(tmp_path / "o.mp4")
    background = clip if background == "clip" else background
    assert main(["predict", rotated, "--output", path, "--background", background] + flags) == 0
    assert clips.read_clip(path)[1][0].shape == (98, 64, 3)
    assert_message(capfd.readouterr().out, path, "12 frames", "frames/s")


def test_predict_reports_truncated_clips(tmp_path, flags, caplog):
    clips = pytest.importorskip("helpers.clips")
    path = clips.write_clip(str(tmp_path / "long.mkv"), list(range(0, 4000, 40)), None)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)
    assert main(["predict", path, "--output", str(tmp_path / "o.webm")] + flags) == 1
    assert_message(caplog.text, path)
    assert clips.read_clip(str(tmp_path / "o.webm"))[0]


def test_predict_needs_pyav_for_clips(clip, flags, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["predict", clip, "--output", str(tmp_path)] + flags) == 2
    assert_message(caplog.text, "PyAV", "[video]")


# {} is the folder of the test: a.png, b.png, an empty file, clip.mp4, text.mp4, a read-only folder.
BAD_PHOTO_COMMANDS = [
    ("{}/a.png {}/b.png --output -", ["--output", "--write"]),
    ("{}/a.png --output x.mp4", ["--output", "x.mp4", ".png"]),
    ("{}/a.png --output x --write composition", ["--write", "--background"]),
    ("{}/a.png --output x --write all", ["--write", "all", "side-by-side"]),
    ("{}/a.png --output x --jobs 0", ["--jobs"]),
    ("{}/a.png --output x --views 4", ["--views", "1 to 3"]),
    ("{}/a.png --output x --background purplish", ["--background", "purplish"]),
    ("{}/a.png --output x.png --tar 2", ["--tar", "--output"]),
    ("{}/a.png --output {}/locked/o.png", ["--output", "locked"]),
    ("{}/a.png --output {}/file", ["--output", "file"]),
    ("{}/a.png --output {}/o.png --write alpha cutout", ["o.png"]),
    ("{}/a.png --output {}/o.jpg", ["o.jpg", ".png", ".webp", "background"]),
    ("{}/a.png --output {}/o.TIF --write alpha", ["o.TIF", ".png", ".jpg", ".webp"]),
    ("{}/a.png --output {}/o.gif", ["o.gif", ".png", ".jpg", ".webp"]),
]
BAD_CLIP_COMMANDS = [
    ("{}/clip.mp4 --output {}/o.mp4", [".webm", ".mov"]),
    ("{}/clip.mp4 --output {}/o.avi", [".webm", "frames/%05d.png"]),
    ("{}/clip.mp4 --output {}/o.m2ts", [".webm", "frames/%05d.png"]),
    ("{}/clip.mp4 --output {}/o.jpg", ["o.jpg", ".webm", "frames/%05d.png"]),
    ("{}/clip.mp4 {}/text.mp4 --output {}/o.webm", ["clip.mp4", "text.mp4"]),
    ("{}/clip.mp4 --write alpha cutout --output {}/o.mov", ["--output", "o.mov"]),
    ("{}/clip.mp4 --output -", ["--output"]),
    ("{}/clip.mp4 --output {}/clip.mp4 --background red", ["--output", "clip.mp4"]),
    ("{}/clip.mp4 --output {}/locked/o.webm", ["--output", "locked"]),
    ("{}/clip.mp4 --output {}/o --background {}/text.mp4", ["text.mp4"]),
    ("{}/clip.mp4 --output {}/o --tar 1", ["--tar"]),
    ("{}/text.mp4 --output {}/o", ["text.mp4"]),
]


@pytest.mark.parametrize("command, tokens", BAD_PHOTO_COMMANDS)
def test_predict_rejects_bad_photo_commands(tmp_path, capfd, command, tokens):
    for name in ("a.png", "b.png"):
        save_png(str(tmp_path / name), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "file").write_bytes(b"")
    assert_rejected(tmp_path, capfd, command.split(), tokens)


@pytest.mark.parametrize("command, tokens", BAD_CLIP_COMMANDS)
def test_predict_rejects_bad_clip_commands(clip, tmp_path, flags, capfd, command, tokens):
    shutil.copy(clip, str(tmp_path / "clip.mp4"))
    (tmp_path / "text.mp4").write_text("no clip")
    assert_rejected(tmp_path, capfd, command.split() + flags, tokens)
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith("o.")]


def assert_rejected(folder, capfd, words, tokens):
    (folder / "locked").mkdir(mode=0o500)
    assert main(["predict"] + [word.format(folder) for word in words]) == 2
    error = capfd.readouterr().err
    assert_message(error, *tokens)
    assert error.count("\n") == 1
