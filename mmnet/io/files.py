"""Reading regular files only, writing so that no reader sees half a file, and names of files."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time

from mmnet.io.errors import MmnetError

BEFORE = ".before"  # behind the name of a folder that is being replaced
ABANDONED_SECONDS = 3600  # nobody has written to a file under construction for so long
LOCK = ".lock"  # in a folder that one process at a time may write to


def read_bytes(path):
    """The contents of a regular file,

    Raises:
        FileNotFoundError: no such file. ValueError: a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe must not wait
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MmnetError("%s is not a regular file" % path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_text(path):
    """The contents of a regular UTF-8 file; ValueError where they are not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MmnetError("%s is not UTF-8 text (%s)" % (path, error)) from None


def read_json(path):
    """The object (dict) in a JSON file; ValueError, with the file's name, for anything else."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise MmnetError("%s is not JSON (%s)" % (path, error)) from None
    if not isinstance(value, dict):
        raise MmnetError("%s holds no JSON object" % path)
    return value


@contextlib.contextmanager
def add_path_to_errors(path):
    """An OSError from inside says which file it is about: that of a full disk does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


@contextlib.contextmanager
def atomic_write(path):
    """Give a temporary name beside ``path``, of an empty file; at the end it is renamed into place.

    Where the block fails, the temporary file goes, and what lay at ``path`` stays.

    Raises:
        ValueError: something that is no regular file lies there: a device, a pipe or a folder
            is never replaced.
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        raise MmnetError("%s is not a regular file and stays" % path)
    path = os.path.realpath(path)  # a link stays a link
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".writing-")
    os.close(descriptor)
    try:
        with add_path_to_errors(path):
            yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # a disk that fails may refuse this too
            os.unlink(temporary)
        raise


def write_bytes(path, data):
    """Write ``data`` in the place of ``path``, as ``replacing`` does."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def remove_abandoned(folder):
    """Remove what writers that were killed left half-built in a folder, an hour ago or more."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if not name.startswith((".writing-", ".building-")):
            continue
        with contextlib.suppress(OSError):  # another process was first, or it is not ours
            inside = [folder for folder, _, _ in os.walk(path)]
            written_at = max(os.path.getmtime(each) for each in [path] + inside)
            if time.time() - written_at <= ABANDONED_SECONDS:
                continue
            if inside:
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)


def write_text(path, text):
    """write_bytes of UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value):
    """Write a JSON file that a person can read."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def replace_folder(target, new):
    """Put the folder ``new`` in the place of ``target``; a whole one is there at every moment.

    ``new`` then holds what was there before, if anything was. Both lie on one file system. Where
    the system cannot exchange two names at once, the old folder is first renamed to
    ``<target>.before`` and, should this process end right then, put back by restore_folder.
    """
    restore_folder(target)
    if not os.path.lexists(target):
        os.rename(new, target)
    elif not _exchange(target, new):
        before = target + BEFORE
        os.rename(target, before)
        try:
            os.rename(new, target)
        except BaseException:
            os.rename(before, target)
            raise
        os.rename(before, new)


def restore_folder(target):
    """Put back what a replace_folder that was killed half-way had set aside."""
    if os.path.isdir(target + BEFORE) and not os.path.lexists(target):
        os.rename(target + BEFORE, target)


def _exchange(first, second):
    """Exchange two names at once (Linux's renameat2); False where that cannot be done."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    names = [os.fsencode(os.path.abspath(path)) for path in (first, second)]
    if function(here, names[0], here, names[1], exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), first)


@contextlib.contextmanager
def locked(folder, wait=False):
    """Hold a folder for this process alone; the system lets go of it however the process ends.

    Args:
        wait: until another process lets go of it.

    Raises:
        ValueError: another process holds it, and nobody waits; says which.
    """
    with open(os.path.join(folder, LOCK), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise MmnetError("%s is in use: %s writes there" % (folder, holder)) from None
        except OSError:  # a file system without locks
            pass
        file.truncate(0)
        file.write("process %d\n" % os.getpid())
        file.flush()
        yield


def check_replaceable(flag, path, is_ours, inputs=()):
    """Raise ValueError where a file may not be written to ``path``.

    It may be new, or one that this verb wrote before; never one of its inputs, a device, a pipe, a
    folder or somebody else's file.

    Args:
        is_ours: the bytes of the file there -> whether this verb wrote it. inputs: paths.
    """
    if os.path.isdir(path):
        raise MmnetError("%s %s is a folder: give the name of a file" % (flag, path))
    check_writable(flag, os.path.dirname(os.path.abspath(path)))
    if not os.path.lexists(path):
        return
    if not os.path.isfile(path):
        raise MmnetError("%s %s is not a regular file and stays" % (flag, path))
    if any(os.path.exists(one) and os.path.samefile(path, one) for one in inputs):
        raise MmnetError("%s %s is an input of this command and stays" % (flag, path))
    if not is_ours(read_bytes(path)):
        raise MmnetError(
            "%s %s was not written by this command and stays: give another name" % (flag, path)
        )


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


def check_writable(flag, folder):
    """Raise ValueError, naming the flag, for a folder that nothing may be put into."""
    if not is_writable(folder):
        raise MmnetError("%s %s cannot be written" % (flag, folder))


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
