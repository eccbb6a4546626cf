"""Read regular files only, replace files and folders atomically, and check output paths."""

import codecs
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
import unicodedata
import uuid
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from mmnet.io.errors import MmnetError, shorten_name

LOCK_FILE = ".lock"  # in a folder that only one process at a time may write to
LOCK_TEXT = "process "  # start of a lock file
TEMPORARY_PREFIXES = (".writing-", ".building-")  # names of incomplete files and folders
ABANDONED_SECONDS = 3600  # a temporary file that did not change for this time has no writer
MAX_BYTES = 1 << 30  # largest file that is read into memory
SEPARATOR = " + "  # between several sources, whose logits are averaged
MAX_NAME_BYTES = 255  # of a file name
BACKUP_SUFFIX = ".before"  # marks the previous folder during a replacement

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # arguments of Linux's renameat2


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading. Raise MmnetError for a folder, a pipe or a device."""
    if "\0" in path:
        raise MmnetError(f"{shorten_name(path)}: no file has such a name")
    if stat.S_ISREG(os.stat(path).st_mode):  # opening a device may change it
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return open(descriptor, "rb")
        os.close(descriptor)  # a pipe replaced the file in between
    raise MmnetError(f"{path}: not a regular file")


def read_bytes(path: str, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most ``limit`` bytes. Raise MmnetError for any other file."""
    with open_regular(path) as file, add_path_to_errors(path):
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise MmnetError(f"{path}: has {size} bytes; at most {limit} are read")
        return file.read()


def file_id(path: str) -> Optional[Tuple[int, int]]:
    """Return device and inode of the file at a path or link, or None if there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def read_text(path: str) -> str:
    """Read a regular UTF-8 file. Raise MmnetError if it is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MmnetError(f"{path}: not UTF-8 text ({error})") from None


def read_lines(path: str) -> List[str]:
    """Read the lines of a list of file names. They end with \\n or \\r\\n.

    Other separators, such as U+2028, are part of a name, and so are bytes that are no text
    (os.fsdecode). A byte order mark is removed. It also marks a file in UTF-16.
    """
    data = read_bytes(path)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = os.fsdecode(data[3:] if data.startswith(codecs.BOM_UTF8) else data)
    except UnicodeDecodeError as error:
        raise MmnetError(f"{path}: not a list in UTF-8 or UTF-16 ({error})") from None
    return text.replace("\r\n", "\n").split("\n")


def check_name(name: str, parameter: Optional[str] = None) -> None:
    """Raise MmnetError unless ``name`` is the name of one visible file or folder."""
    is_long = len(os.fsencode(name)) > MAX_NAME_BYTES
    if not name or name.startswith(".") or os.sep in name or "\0" in name or is_long:
        raise MmnetError(
            f"{shorten_name(name)!r} must be the name of one file or folder", parameter
        )


def resolve_name(folder: str, name: str) -> str:
    """Return the path of a file in a folder.

    If there is no such file, its name and its folders may be in another Unicode normal form. macOS
    stores NFD.
    """
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        return path
    resolved = ""
    for part in path.split(os.sep):
        parts = [part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part)]
        paths = [resolved + part for part in parts]
        resolved = next(filter(os.path.lexists, paths), paths[0]) + os.sep
    return resolved[: -len(os.sep)]


def read_json(path: str) -> Dict[str, Any]:
    """Read the object in a JSON file. Raise MmnetError if the file contains anything else."""
    data = read_bytes(path)
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MmnetError(f"{path}: not JSON in UTF-8 ({error})") from None
    if not isinstance(value, dict):
        raise MmnetError(f"{path}: JSON without an object at the top level")
    return value


def write_bytes(path: str, data: bytes) -> None:
    """Replace the file at ``path`` atomically."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def write_text(path: str, text: str) -> None:
    """Replace the file at ``path`` atomically by a UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str, value: Any) -> None:
    """Replace the file at ``path`` atomically by indented JSON."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256_of_file(path: str) -> str:
    """Return the SHA-256 of a regular file as hexadecimal digits."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


@contextlib.contextmanager
def add_path_to_errors(path: str) -> Iterator[None]:
    """Add the path to an OSError without one. The error of a full disk contains no path."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[str]:
    """Yield the path of an empty temporary file, which replaces ``path`` at the end of the block.

    If the block fails, the temporary file is deleted, and the file at ``path`` stays. A device, a
    pipe or a folder is never replaced (MmnetError). A link is replaced, its target stays.
    """
    if os.path.lexists(path) and not os.path.isfile(path):
        raise MmnetError(f"{path}: not a regular file, so it is not replaced")
    temporary = os.path.join(os.path.dirname(path), f".writing-{uuid.uuid4().hex}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, 0o666))  # less the process's umask
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or path  # a full disk is reported without a path
        with contextlib.suppress(OSError):  # a failing disk may refuse this too
            os.unlink(temporary)
        raise


def remove_abandoned(folder: str) -> None:
    """Delete the temporary files and folders of killed writers that are older than an hour."""
    for name in os.listdir(folder):
        if not name.startswith(TEMPORARY_PREFIXES):
            continue
        path = os.path.join(folder, name)
        paths = [path] + [subfolder for subfolder, _, _ in os.walk(path)]
        with contextlib.suppress(OSError):  # another process deleted it, or it is not ours
            if time.time() - max(map(os.path.getmtime, paths)) <= ABANDONED_SECONDS:
                continue
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)


def replace_folder(target: str, new: str) -> None:
    """Move the folder ``new`` to ``target``, and the previous folder, if there is one, to ``new``.

    Both paths are on one file system. If the system cannot exchange two names atomically, the
    previous folder is first renamed to ``<target>.before``. After a crash at that moment
    ``restore_folder`` moves it back.
    """
    restore_folder(target)
    if not os.path.lexists(target):
        os.rename(new, target)
    elif not _exchange(target, new):
        os.rename(target, target + BACKUP_SUFFIX)
        try:
            os.rename(new, target)
        finally:
            restore_folder(target)  # only if the line above failed
        os.rename(target + BACKUP_SUFFIX, new)


def restore_folder(target: str) -> None:
    """Move back the previous folder of a ``replace_folder`` that was killed halfway."""
    if os.path.isdir(target + BACKUP_SUFFIX) and not os.path.lexists(target):
        os.rename(target + BACKUP_SUFFIX, target)


def _exchange(first, second):
    """Exchange two names atomically with Linux's renameat2. Return False if it is unavailable."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    paths = [os.fsencode(os.path.abspath(path)) for path in (first, second)]
    if renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), first, None, second)


def open_own(path: str, flags: int) -> int:
    """Open a regular file of mmnet, as an ``opener`` of ``open``.

    Raises:
        MmnetError: the path is a link or a pipe, which others may have put there.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError:
        if os.path.islink(path):
            raise MmnetError(f"{path}: a link, so it is not written") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MmnetError(f"{path}: not a regular file, so it is not written")
    return descriptor


@contextlib.contextmanager
def lock_folder(folder: str, wait: bool = False) -> Iterator[None]:
    """Lock a folder, if its file system has locks, until the block or the process ends.

    If another process has locked the folder, wait for its release, or raise MmnetError.
    """
    path = os.path.join(folder, LOCK_FILE)
    with open(path, "a+", encoding="utf-8", errors="replace", opener=open_own) as file:
        file.seek(0)
        if not (file.read(len(LOCK_TEXT)) or LOCK_TEXT).startswith(LOCK_TEXT):
            raise MmnetError(f"{path}: not a lock file of mmnet, so it is not written")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise MmnetError(f"{folder}: in use, {holder} writes to it") from None
        except OSError:
            pass  # the file system has no locks
        file.truncate(0)
        file.write(f"{LOCK_TEXT}{os.getpid()}\n")
        file.flush()
        yield


def check_writable(folder: str, parameter: str = "output") -> None:
    """Raise MmnetError, which names the parameter, unless files can be created in a folder.

    If the folder is missing, its parent is checked. A folder without any write permission counts
    as read-only for root too.
    """
    existing = os.path.abspath(folder)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    any_write = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    is_writable = os.path.isdir(existing) and os.access(existing, os.W_OK)
    if not is_writable or not os.stat(existing).st_mode & any_write:
        raise MmnetError(f"{folder} is not writable", parameter)


def check_replaceable(
    path: str,
    is_own: Callable[[bytes], bool],
    *,
    inputs: Sequence[str] = (),
    parameter: str = "output",
) -> None:
    """Raise MmnetError, which names the parameter, unless a command may write to ``path``.

    The path may be new, or hold an older result of the command: ``is_own`` returns True for the
    contents of such a file. A result never replaces one of the command's ``inputs``.
    """
    check_writable(os.path.dirname(os.path.abspath(path)), parameter)
    if not os.path.lexists(path):
        return
    problem = None
    if not os.path.isfile(path):
        problem = "is not a regular file"
    elif any(os.path.exists(name) and os.path.samefile(path, name) for name in inputs):
        problem = "is an input of this command"
    elif not is_own(read_bytes(path)):
        problem = "exists, and this command did not write it"
    if problem is not None:
        raise MmnetError(f"{path} {problem}; give another name", parameter)


def short_name(path: str) -> str:
    """Return the name of a file, or of several sources: a/x.pb + b/y.pb -> x.pb + y.pb."""
    return SEPARATOR.join(map(os.path.basename, path.split(SEPARATOR)))


def short_names(paths: Sequence[str]) -> List[str]:
    """Return the shortest distinct ends of paths: a/x.pb b/x.pb c/y.pb -> a/x.pb b/x.pb y.pb."""
    names = [short_name(path) for path in paths]
    for index, path in enumerate(paths):
        if SEPARATOR in path and names.count(names[index]) > 1:
            names[index] = path.replace(os.sep, "_")
    paths = [name if SEPARATOR in path else path for name, path in zip(names, paths)]
    parts = [os.path.normpath(path).split(os.sep) for path in paths]
    names = []
    for own_parts in parts:
        others = [other for other in parts if other != own_parts]
        length = 1
        while any(other[-length:] == own_parts[-length:] for other in others):
            length += 1
        names.append(os.sep.join(own_parts[-length:]))
    return names
