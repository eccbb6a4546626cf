"""Copy chapters and metadata of a clip into a written clip, and list losses. No TensorFlow."""

from collections import Counter
from typing import Any, Dict, List, Optional

from mmnet.io.clip_files import import_av, open_container
from mmnet.io.clips import Clip

MAX_TIMECODE_RATE = 256  # frames per second; MPEG-4 files store one byte
UNSET_TIME = "1970-01-01T00:00:00"
FORMAT_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "timecode")
POSITION_TAGS = ("location", "gps")  # parts of their names
MPEG4_TAGS = {"title", "artist", "album", "date", "comment", "copyright", "genre", "creation_time"}
UNKNOWN_LANGUAGE = "und"
# ISO 639 code and the form of it in the list of languages of QuickTime files.
LANGUAGE_PAIRS = (
    "cze:ces deu:ger ell:gre fas:per fre:fra hye:arm isl:ice kat:geo mkd:mac msa:may "
    "mya:bur nld:dut rum:ron slo:slk sqi:alb swe:sve zho:chi"
)
QUICKTIME_LANGUAGES = {pair[:3]: pair[4:] for pair in LANGUAGE_PAIRS.split()}


def container_options(tags: Dict[str, str], extension: str) -> Dict[str, str]:
    """Return the options of the muxer. MPEG-4 files have a second form of tags with any name."""
    if extension == ".webm" or tags.keys() <= MPEG4_TAGS:
        return {}
    return {"movflags": "use_metadata_tags"}


def copy_metadata(source: Clip, target: Any, video: Any, extension: str) -> None:
    """Copy the chapters, and the time code and language of the video, before the header."""
    target.set_chapters(_shift_chapters(source.container.chapters(), source.start_time))
    copy_stream_metadata(source.stream, video, extension)
    video.disposition = import_av().stream.Disposition.default.value
    timecode = _find_timecode(source.container)
    if timecode and source.frame_rate < MAX_TIMECODE_RATE:
        video.metadata["timecode"] = timecode


def _shift_chapters(chapters, start_time):
    """Subtract the start time, unless the chapters begin with 0 although the clip does not."""
    for chapter in chapters:
        shift = int(start_time / chapter["time_base"])
        if chapter["end"] > shift:
            chapter.update(start=max(0, chapter["start"] - shift), end=chapter["end"] - shift)
    return chapters


def read_tags(container: Any, *, keep_gps: bool) -> Dict[str, str]:
    """Return the tags of a file, but none about its format, and the position only if wanted."""
    tags = {}
    for name, value in container.metadata.items():
        name = name.lower()
        if name == "creation_time":  # joined by ; if a file contains two
            value = value.split(";")[0]
        is_position = any(part in name for part in POSITION_TAGS)
        is_unset = name in FORMAT_TAGS or value.startswith(UNSET_TIME)
        if not is_unset and (keep_gps or not is_position):
            tags[name] = value
    return tags


def copy_stream_metadata(stream: Any, target: Any, extension: str) -> None:
    """Copy language, title and disposition (such as default) of a track."""
    language, title = stream.language, _title(stream)
    if language:
        if extension == ".mov":
            language = QUICKTIME_LANGUAGES.get(language, language)
        target.metadata["language"] = language
    if title:
        target.metadata["title"] = title
    handler_name = title or stream.metadata.get("handler_name")
    if handler_name and extension != ".webm":  # the only title that some readers of MPEG-4 show
        target.metadata["handler_name"] = handler_name
    target.disposition = stream.disposition.value  # PyAV 17 accepts a number only


def _title(stream):
    return stream.metadata.get("title") or stream.metadata.get("name")


def _find_timecode(container):
    for metadata in (container.metadata, *(stream.metadata for stream in container.streams)):
        for name, value in metadata.items():
            if name.lower() == "timecode":
                return value
    return None


def find_losses(source: Clip, tags: Dict[str, str], path: Optional[str] = None) -> List[str]:
    """List the contents of a clip that the file at ``path`` lacks; None: a folder of PNG files.

    tags: the tags that were written.
    Audio tracks that were skipped are in the warnings of the clip already.
    """
    losses = _count_streams(source.container)
    if path is None:
        return [f"{name}: {count}" for name, count in losses.items() if count]
    with open_container(path) as written:
        losses.subtract(_count_streams(written))
        written_tags = read_tags(written, keep_gps=True)
        names = _tag_names(source.container, tags) - _tag_names(written, written_tags)
        names -= {
            f"track title {stream.metadata.get('handler_name')}" for stream in written.streams
        }
    del losses["audio tracks"]
    return [f"{name}: {count}" for name, count in losses.items() if count > 0] + sorted(names)


def _count_streams(container):
    """Count the contents of a file besides its video."""
    streams, chapters = container.streams, len(container.chapters())
    data = sum("timecode" not in stream.metadata for stream in streams.data)
    return Counter(
        {
            "audio tracks": len(streams.audio),
            "subtitle tracks": len(streams.subtitles),
            "other video tracks and cover images": len(streams.video) - 1,
            "data tracks": max(0, data - bool(chapters)),  # MPEG-4 files store chapters in a track
            "attachments": len(streams.attachments),
            "chapters": chapters,
        }
    )


def _tag_names(container, tags):
    """Return the names of tags, and the languages and titles of audio tracks."""
    names = {f"tag {name}" for name in tags}
    for stream in container.streams.audio:
        if stream.language not in (None, UNKNOWN_LANGUAGE):
            code = QUICKTIME_LANGUAGES.get(stream.language, stream.language)
            names.add(f"language {code}")
        if _title(stream):
            names.add(f"track title {_title(stream)}")
    return names | ({"time code"} if _find_timecode(container) else set())
