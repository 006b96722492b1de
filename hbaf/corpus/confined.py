"""The one way in which readers reach the files of a source: ordinary files inside its folder, and nothing else.

A pipe would be waited for, a device read without end, and a link out of the folder would bring a stranger's file, or a
secret of the user's, into a corpus.
"""

import os
import stat
from pathlib import Path

from hbaf.corpus.schema import CorpusError


def confined(path: Path, root: Path) -> Path:
    """The path itself, where it is an ordinary file inside `root` whichever way its links lead.

    Raises:
        CorpusError: it leaves the folder, is no ordinary file, is absent or cannot be reached.
    """
    try:
        inside = path.resolve(strict=True).is_relative_to(root.resolve())
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise CorpusError(f"{path}: no such file. Copy the source again, or name another file.") from error
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a folder that is closed
        raise CorpusError(f"{path}: cannot be reached ({error}). Check its links and permissions.") from error
    if not inside:
        raise CorpusError(f"{path}: is a link out of the corpus folder. Put the file itself there.")
    if not stat.S_ISREG(mode):
        raise CorpusError(f"{path}: is a folder, pipe or device. Only ordinary files are read.")
    return path


def read_confined(path: Path, root: Path) -> bytes:
    """The bytes of an ordinary file inside `root`; a pipe put in its place meanwhile is not waited for.

    Raises:
        CorpusError: as `confined`, or it cannot be read.
    """
    confined(path, root)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise CorpusError(f"{path}: is a folder, pipe or device. Only ordinary files are read.")
            return stream.read()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
