"""Whole files, on a local disk or an object store: a reader sees a file complete or not at all."""

import errno
import os
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from feature_store.manifest import StoreError


class Replaced(StoreError):
    """Another writer replaced a file since it was read."""


class Files:
    """Files below one folder, named by paths with "/" relative to it.

    Locally a file is written beside, synced and renamed. An object store publishes an object whole by itself.
    """

    def __init__(self, url: str | Path) -> None:
        text = str(Path(url).expanduser().absolute()) if "://" not in str(url) else str(url)
        if "://" in text and urlsplit(text).password is not None:
            raise StoreError(
                f"{text.partition('://')[0]}://...: this store's address holds a password, and addresses go into runs, "
                "models and logs. Leave it out; keys come from the environment: FSSPEC_<PROTOCOL>_PASSWORD, "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3."
            )
        self.system, self.root = url_to_fs(text)
        self.local = isinstance(self.system, LocalFileSystem)
        self.url = self.root if self.local else text

    def path(self, name: str) -> str:
        """Address of a file of the store."""
        return f"{self.root.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes:
        """The file's bytes.

        Raises:
            FileNotFoundError: it is not there.
            StoreError: it cannot be read.
        """
        try:
            return Path(self.path(name)).read_bytes() if self.local else self.system.cat_file(self.path(name))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unreadable(self.path(name), error) from error

    def open(self, name: str) -> BinaryIO:
        """The file, to read parts of: locally itself, elsewhere its bytes in one request, for it may be replaced.

        Raises:
            FileNotFoundError, StoreError: as `read`.
        """
        if not self.local:
            return BytesIO(self.read(name))
        try:
            return Path(self.path(name)).open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unreadable(self.path(name), error) from error

    def read_all(self, names: list[str]) -> dict[str, bytes]:
        """The files that are still there; on an object store in parallel."""
        if not self.local:
            found = self.system.cat([self.path(name) for name in names], on_error="omit") if names else {}
            return {name: found[self.path(name)] for name in names if self.path(name) in found}
        contents = {}
        for name in names:
            try:
                contents[name] = self.read(name)
            except FileNotFoundError:
                continue
        return contents

    def version(self, name: str) -> str | None:
        """What changes whenever a file is replaced, for `write`; "" where there is none.

        None where the store replaces nothing under a condition: a local disk, and any object store but S3.
        """
        if "s3" not in self.system.protocol:
            return None
        try:
            return str(self.system.info(self.path(name), refresh=True)["ETag"])
        except FileNotFoundError:
            return ""

    def write(self, name: str, content: bytes, replaces: str | None = None) -> None:
        """Publishes a file; one of the same name is replaced.

        Args:
            replaces: only if its `version` is still this one; None: whatever is there.

        Raises:
            Replaced: its version is another one; nothing was written.
            StoreError: it cannot be written; nothing is left behind.
        """
        condition = {} if replaces is None else {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        try:
            if self.local:
                _write_locally(Path(self.path(name)), content)
            else:
                self._put(name, content, condition)
        except OSError as error:
            if condition and self.version(name) != replaces:
                raise Replaced(f"{self.path(name)}: another writer replaced it meanwhile.") from error
            raise StoreError(
                f"{self.path(name)}: cannot be written ({error.strerror or error}); what was stored before is whole. "
                "Free space or permit writing there, then run the same again."
            ) from error

    def _put(self, name: str, content: bytes, condition: dict[str, str]) -> None:
        # In one request, whatever its size: the parts of an upload know no condition.
        whole = {"chunksize": len(content) + 1} if condition else {}
        try:
            self.system.pipe_file(self.path(name), content, **whole, **condition)
        except OSError as error:
            if not condition or error.errno != errno.ENOSYS:
                raise
            self.system.pipe_file(self.path(name), content)  # this S3 replaces nothing under a condition

    def list(self, folder: str) -> dict[str, tuple[int, float | None]]:
        """Name -> (bytes, time of change in seconds since 1970 where known) of the files and folders in a folder."""
        path = self.path(folder).rstrip("/")
        if self.local:
            return _list_locally(Path(path))
        self.system.invalidate_cache(path)  # another writer may have added files
        try:
            found = self.system.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        listed: dict[str, tuple[int, float | None]] = {}
        for item in found:
            changed = item.get("LastModified") or item.get("created")
            stamp = changed.timestamp() if hasattr(changed, "timestamp") else None
            listed[PurePosixPath(item["name"]).name] = (item.get("size") or 0, stamp)
        return listed

    def names(self, folder: str) -> set[str]:
        """Names of the files and folders in a folder; locally without asking for the facts of each."""
        if not self.local:
            return {*self.list(folder)}
        try:
            return {*os.listdir(self.path(folder))}  # noqa: PTH208  # a Path for each of 400,000 costs more than the list
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def remove(self, name: str) -> None:
        """Removes a file or an empty folder; one that is gone already is fine."""
        if not self.local:
            if self.system.exists(self.path(name)):
                self.system.rm(self.path(name), recursive=self.system.isdir(self.path(name)))
            return
        path = Path(self.path(name))
        try:
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            if path.exists():
                raise StoreError(f"{path}: cannot be removed ({error.strerror}). Permit writing there.") from error


def _unreadable(path: str, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: cannot be read ({error.strerror or error}). Permit reading there, or name another store."
    )


def _write_locally(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process and a random part: two threads or two machines on a shared disk never write the same file.
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself survives a power cut
        finally:
            os.close(folder)


def _list_locally(folder: Path) -> dict[str, tuple[int, float | None]]:
    listed: dict[str, tuple[int, float | None]] = {}
    try:
        with os.scandir(folder) as found:
            for item in found:
                try:
                    facts = item.stat()
                except FileNotFoundError:
                    continue  # a temporary file of another writer
                listed[item.name] = (facts.st_size, facts.st_mtime)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return listed
