"""Files and folders that are whole or absent, and lists of lines: here alone files are replaced, moved, appended to.

What was written is on the disk, its name too, before the function returns; a kill or a power cut at any moment leaves
the old state or the new one. The feature store, which stands below hbaf, has its own for its shards.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What the system says when a place cannot be written, whoever was writing.
STORAGE_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
PRIVATE = 0o600

log = logging.getLogger(__name__)


class StorageError(RuntimeError):
    """A file cannot be written: no space, no permission, a read-only disk."""


def one_place(path: Path | str) -> Path:
    """The whole path of a place, the same for `../calls` as for what it means; a link keeps its own name."""
    whole = Path(path).expanduser().absolute()
    return whole.resolve() if ".." in whole.parts else whole


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Writes beside, syncs, then renames: a reader sees the old file or the new one, never a half.

    Args:
        private: for its owner's eyes, whatever the umask.

    Raises:
        StorageError: it cannot be written; nothing is left behind.
    """
    with published(path, private=private) as beside:
        beside.write_bytes(content)


@contextmanager
def published(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A path to write a file to, which becomes `path` when the block ends well, and is gone when it does not.

    Raises:
        StorageError: it cannot be written; what was at `path` is still there, whole.
    """
    beside = _beside(path)
    try:
        with _clear_errors(path):
            if private:
                os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
            yield beside
            sync(beside)
            beside.replace(path)
            sync(path.parent)
    finally:
        _remove(beside)


def create_once(path: Path, content: bytes) -> None:
    """A private file that is made whole, or is there already: of two at once the first one's stays."""
    beside = _beside(path)
    try:
        with _clear_errors(path):
            write_atomically(beside, content, private=True)
            try:
                os.link(beside, path)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP) or path.exists():
                    raise
                beside.replace(path)  # a disk without links
            sync(path.parent)
    except FileExistsError:
        pass
    finally:
        _remove(beside)


@contextmanager
def published_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` when the block ends well; of two at once the first one's stays.

    Raises:
        StorageError: it cannot be written.
    """
    beside = _beside(folder)
    try:
        with _clear_errors(folder):
            beside.mkdir(parents=True)
            yield beside
            move_folder(beside, folder)
    finally:
        _remove(beside)


def move_folder(made: Path, folder: Path) -> bool:
    """Gives a whole folder its name; False where one of that name is there already, which stays.

    Raises:
        OSError: it cannot be moved.
    """
    sync_tree(made)
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    sync(folder.parent)
    return True


def append_line(path: Path, facts: Mapping[str, Any]) -> None:
    """Adds a line of JSON to a list. What a killed process left of its line is taken away first: it never happened.

    Raises:
        StorageError: it cannot be written; the list is as before.
    """
    from hbaf.waiting import alone

    line = json.dumps(facts).encode() + b"\n"
    with _clear_errors(path), alone(path.with_name(f".{path.name}.lock")):
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        with os.fdopen(descriptor, "r+b") as stream:
            whole, missing = _whole(stream.read(), path)
            stream.truncate(whole)
            try:
                stream.write(missing + line)
                stream.flush()
                os.fsync(stream.fileno())
            except BaseException:
                os.ftruncate(stream.fileno(), whole)
                raise
        if is_new:
            sync(path.parent)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of such a list; none if it is absent. What is no line of it is left out and said in the log."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), 1):
        facts = _line(line)
        if facts is not None:
            found.append(facts)
        elif line.strip():
            log.warning("%s, line %d: torn by a process that was killed, left out", path, number)
    return found


def tree_digest(folder: Path) -> str:
    """sha256 of the names and contents of all files of a folder."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()


def sync_tree(folder: Path) -> None:
    """Everything in a folder is on the disk; call it before the file that says that the folder is whole."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            sync(path)


def sync(path: Path) -> None:
    """Content of a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_message(error: OSError, path: Path | str | None = None) -> str:
    """What to tell somebody whose disk or folder cannot be used."""
    named = path or error.filename
    # Reading may be forbidden too; a full disk can still be read.
    what = "be used" if error.errno in (errno.EACCES, errno.EPERM) else "be written"
    return (
        f"{f'{named}: ' if named else ''}cannot {what} ({error.strerror or error}); what was written before is "
        "whole. Free space or permit writing there, then run the same command again: it goes on where it stopped."
    )


def _beside(path: Path) -> Path:
    # The process and a random part: two processes or threads at the same work never write into one file.
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


def _remove(beside: Path) -> None:
    """Never in place of the error that it cleans up after."""
    try:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s is left over: %s", beside, error)


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE_TROUBLE:
            raise
        raise StorageError(storage_message(error, path)) from error


def _whole(content: bytes, path: Path) -> tuple[int, bytes]:
    """Bytes up to the end of the last whole line, and the line end that it lacks."""
    end = content.rfind(b"\n") + 1
    if not (last := content[end:]):
        return end, b""
    if _line(last) is not None:
        return len(content), b"\n"
    log.warning("%s: its last line was torn by a process that was killed, and is taken away", path)
    return end, b""


def _line(line: bytes) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None
