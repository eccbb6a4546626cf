"""Which files are photos and clips. No TensorFlow."""

from PIL import Image

from mmnet.io.files import open_regular

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".webp"),
    *(".tif", ".tiff", ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".sgi", ".qoi", ".psd"),
)
# Readable if pillow-heif is installed.
HEIF_EXTENSIONS = (".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs")
# Containers and raw streams with video that FFmpeg recognizes by their contents.
CLIP_EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".mj2", ".f4v", ".ismv"),
    *(".webm", ".mkv", ".mk3d", ".avi", ".divx", ".xvid", ".wmv", ".asf", ".wtv", ".dvr-ms"),
    *(".mpg", ".mpeg", ".mpe", ".mpv", ".m1v", ".m2v", ".m2p", ".vob", ".evo", ".mod", ".tod"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".tp", ".trp", ".mxf", ".gxf", ".dv", ".dif", ".flv"),
    *(".kux", ".ogg", ".ogv", ".ogm", ".ogx", ".rm", ".rmvb", ".nut", ".nuv", ".nsv", ".y4m"),
    *(".ivf", ".obu", ".h261", ".h263", ".264", ".h264", ".h26l", ".avc", ".265", ".h265"),
    *(".hevc", ".266", ".h266", ".vvc", ".vc1", ".drc", ".mjpg", ".mjpeg", ".roq", ".bik"),
    *(".smk", ".fli", ".flc", ".viv", ".swf", ".amv", ".pva", ".ty", ".usm", ".xmv", ".thp"),
    *(".dav", ".mlv", ".cine"),
)


def is_clip(path: str) -> bool:
    """Return whether a file is a clip: by its extension, or an animated GIF that PyAV can read."""
    if not path.lower().endswith(".gif"):
        return path.lower().endswith(CLIP_EXTENSIONS)
    try:
        import av  # noqa: F401

        with open_regular(path) as file, Image.open(file, formats=["GIF"]) as image:
            return getattr(image, "is_animated", False)
    except Exception:  # no PyAV, or a damaged file, for which Pillow raises many classes
        return False
