"""Reading regular files only, writing so that no reader sees half a file, and names of files."""

import hashlib
import json
import os
import stat
import tempfile


def read_bytes(path):
    """The contents of a regular file.

    Raises:
        FileNotFoundError: no such file. ValueError: a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe must not wait
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("%s is not a regular file" % path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_text(path):
    """The contents of a regular UTF-8 file; ValueError where they are not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("%s is not UTF-8 text (%s)" % (path, error)) from None


def read_json(path):
    """The object (dict) in a JSON file; ValueError, with the file's name, for anything else."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError("%s is not JSON (%s)" % (path, error)) from None
    if not isinstance(value, dict):
        raise ValueError("%s holds no JSON object" % path)
    return value


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
    """write_bytes of UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value):
    """Write a JSON file that a person can read."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256_of_file(path):
    """The SHA-256 of a regular file's contents, as hexadecimal digits."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def is_writable(folder):
    """Whether files may be put into ``folder``, or into its nearest parent that exists.

    A folder without any write bit counts as read-only for root too: somebody marked it so.
    """
    folder = os.path.abspath(folder)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    any_write = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    writable = os.path.isdir(folder) and os.access(folder, os.W_OK)
    return writable and bool(os.stat(folder).st_mode & any_write)


def need_writable(flag, folder):
    """Raise ValueError, naming the flag, for a folder that nothing may be put into."""
    if not is_writable(folder):
        raise ValueError("%s %s cannot be written" % (flag, folder))


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def short_names(paths):
    """The shortest ends that tell paths apart: a/x.pb b/x.pb c/y.pb -> a/x.pb b/x.pb y.pb."""
    parts = [os.path.normpath(path).split(os.sep) for path in paths]
    names = []
    for own in parts:
        length = 1
        while length < len(own) and _sharing(parts, own[-length:]) > parts.count(own):
            length += 1
        names.append(os.sep.join(own[-length:]))
    return names


def _sharing(parts, end):
    return sum(other[-len(end) :] == end for other in parts)
