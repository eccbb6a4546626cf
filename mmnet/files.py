"""Writing files so that a reader never sees half of one, and telling where writing is welcome."""
import os
import stat
import tempfile


def write_bytes(path, data):
    """Write ``data`` under a temporary name beside ``path``, then rename it into place."""
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_text(path, text):
    write_bytes(path, text.encode("utf-8"))


def is_writable(folder):
    """Whether files may be put into ``folder`` (or into the nearest parent that exists, when it does not).

    A folder without any write bit counts as read-only for root too: somebody marked it so.
    """
    folder = os.path.abspath(folder)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    any_write = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return os.path.isdir(folder) and bool(os.stat(folder).st_mode & any_write) and os.access(folder, os.W_OK)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def short_names(paths):
    """The paths with as much of their ends as tells them apart: ``a/x.pb b/x.pb c/y.pb`` -> ``a/x.pb b/x.pb y.pb``."""
    parts = [os.path.normpath(path).split(os.sep) for path in paths]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and sum(other[-length:] == own[-length:] for other in parts) > parts.count(own):
            length += 1
        names.append(os.sep.join(own[-length:]))
    return names
