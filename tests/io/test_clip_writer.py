"""Tests of mmnet.io.clip_writer."""

import errno
import os
import resource
from fractions import Fraction

import numpy as np
import pytest

from helpers import assert_message, assert_raises
from helpers.clips import (
    SHAPE,
    TIME_STAMPS,
    copy_clip,
    draw_frame,
    read_clip,
    read_first_alpha,
    write_clip,
    write_tracks,
)
from mmnet.io.clip_writer import check_encoding, create_clip
from mmnet.io.clips import open_clip, read_frames
from mmnet.io.errors import MmnetError
from mmnet.io.images import read_image

av = pytest.importorskip("av", reason="no PyAV for this Python")

NAMES = ("o.mp4", "o.webm", "o.mov")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(str(tmp_path_factory.mktemp("a clip") / "walk.mp4"))


@pytest.mark.parametrize(
    "name, channels", [("o.mp4", 3), ("o.webm", 3), ("o.mov", 3), ("o.webm", 4), ("o.mov", 4)]
)
def test_create_clip_keeps_time_stamps_images_and_audio(clip, tmp_path, name, channels):
    path, alpha = str(tmp_path / name), np.zeros(SHAPE, np.uint8)
    alpha[:, :48], alpha[:32, :48] = 255, 100
    with open_clip(clip) as source, create_clip(path, source) as write:
        for frame in read_frames(source):
            write(frame._replace(opacity=alpha if channels == 4 else None))
    seconds, images, warnings = read_clip(path)
    assert not warnings and len(images) == len(TIME_STAMPS)
    np.testing.assert_allclose([float(s) for s in seconds], np.array(TIME_STAMPS) / 1000, atol=1e-3)
    height, width = images[0].shape[:2]
    is_padded = name != "o.webm" and channels == 3  # H.264 needs even sides
    assert (height, width) == (SHAPE[0], SHAPE[1] + is_padded)
    for number, image in enumerate(images):
        assert np.abs(image[:, : SHAPE[1]].astype(int) - draw_frame(number)).mean() < 6
    with av.open(path) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.name == ("opus" if name == "o.webm" else "aac")
        length = sum(frame.samples / frame.sample_rate for frame in container.decode(audio))
        assert length == pytest.approx(0.5, abs=0.05)
    if channels == 4:
        assert np.abs(read_first_alpha(path).astype(int) - alpha).mean() < 2


@pytest.mark.parametrize("name", NAMES)
def test_create_clip_writes_alpha_as_grey_clip(clip, tmp_path, name):
    path, alpha = str(tmp_path / name), draw_frame(3)[..., 0]
    with open_clip(clip) as source, create_clip(path, source) as write:
        for frame in read_frames(source):
            write(frame._replace(image=alpha))
    images = read_clip(path)[1]
    assert len(images) == len(TIME_STAMPS)
    for image in images:
        image = image[: SHAPE[0], : SHAPE[1]].astype(int)
        assert np.abs(image - alpha[..., None]).mean() < 3 and np.ptp(image, axis=2).max() <= 3


@pytest.mark.parametrize("name", NAMES)
def test_create_clip_keeps_duration_of_last_frame(tmp_path, name):
    source, path = write_tracks(str(tmp_path / "a.mp4"), last=3500), str(tmp_path / name)
    copy_clip(source, path)
    with av.open(path) as container:
        assert container.duration / av.time_base == pytest.approx(9 * 0.04 + 3.5, abs=0.002)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("aspect", ["16/9", "8/9", "1"])
def test_create_clip_keeps_pixel_aspect(tmp_path, name, aspect):
    source = write_tracks(str(tmp_path / "a.mp4"), pixel_aspect=aspect)
    path = str(tmp_path / name)
    with open_clip(source) as clip, create_clip(path, clip) as write:
        for frame in read_frames(clip):
            has_alpha = name == "o.mov"
            write(frame._replace(opacity=frame.image[..., 0] if has_alpha else None))
    with av.open(path) as container:
        video = container.streams.video[0]
        assert (video.sample_aspect_ratio or 1) == Fraction(aspect)
        assert (video.width, video.height) == (96, 64)
        assert "stereo_mode" not in video.metadata
        assert len(list(container.decode(video))) == 10


@pytest.mark.parametrize("aspect, shape", [("16/9", (64, 171)), ("8/9", (72, 96))])
def test_create_clip_writes_png_files_with_square_pixels(tmp_path, aspect, shape):
    copy_clip(write_tracks(str(tmp_path / "a.mp4"), pixel_aspect=aspect), str(tmp_path / "%d.png"))
    assert read_image(str(tmp_path / "10.png")).shape[:2] == shape


def test_create_clip_copies_audio_unchanged(clip, tmp_path):
    path = str(tmp_path / "copy.mov")
    copy_clip(clip, path)

    def packets(name):
        with av.open(name) as container:
            audio = container.streams.audio[0]
            return [bytes(packet) for packet in container.demux(audio) if packet.size]

    assert packets(path) == packets(clip)


def test_create_clip_writes_png_files(clip, tmp_path):
    _, notes = copy_clip(clip, str(tmp_path / "f/%03d.png"))
    assert_message(notes[0], "f/%03d.png", "audio tracks: 1")
    assert sorted(os.listdir(str(tmp_path / "f"))) == [f"{n:03d}.png" for n in range(1, 13)]


def test_create_clip_keeps_older_file_if_interrupted(clip, tmp_path):
    path = tmp_path / "o.mp4"
    path.write_bytes(b"older")
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted, open_clip(clip) as source, create_clip(str(path), source) as write:
        write(next(read_frames(source)))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"older" and os.listdir(str(tmp_path)) == ["o.mp4"]


@pytest.mark.parametrize(
    "path, has_alpha",
    [
        ("a.webm", True),
        ("a.mov", True),
        ("a.MP4", False),
        ("f/%05d.png", True),
        ("5 %/%d.png", True),
    ],
)
def test_check_encoding_accepts(path, has_alpha):
    check_encoding(path, has_alpha)


@pytest.mark.parametrize(
    "path, has_alpha, token",
    [
        ("a.mp4", True, "alpha"),
        ("a.avi", False, ".mov, .mp4, .webm"),
        ("a.png", True, "frames/%05d.png"),
        ("%s%d.png", True, "frames/%05d.png"),
        ("%s.png", True, "frames/%05d.png"),
        ("%%d.png", True, "frames/%05d.png"),
        ("%010d.png", True, "frames/%05d.png"),
        ("frames%05d/a.png", True, "frames/%05d.png"),
        ("frames/%0999999999d.png", True, "frames/%05d.png"),
    ],
)
def test_check_encoding_rejects(path, has_alpha, token):
    with assert_raises(MmnetError, path, token):
        check_encoding(path, has_alpha)


@pytest.mark.parametrize("name", NAMES)
def test_create_clip_names_the_output_and_the_cause_if_it_cannot_be_written(tmp_path, name):
    source_path, path = write_clip(str(tmp_path / "walk.mp4")), str(tmp_path / name)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # this fails like a full disk
    try:
        with pytest.raises(OSError) as raised, open_clip(source_path) as source, create_clip(
            path, source
        ) as write:
            frame = next(read_frames(source))
            for number in range(30):
                noise = np.random.RandomState(number).randint(0, 256, (128, 128, 3))
                write(frame._replace(image=noise.astype(np.uint8), pts=40 * number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, path)
    assert os.listdir(tmp_path) == ["walk.mp4"]
