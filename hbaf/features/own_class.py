"""A class of the user's own, by `path/to/file.py:Class`: an extractor or a system, without a fork.

Its file is run, so who names it decides. What a command, a setting or a call names is the user's own; the home notes
its content as such. What a file from elsewhere names, a model package or the plan of a search, is run only where
this user has named the same content before, or names it in `HBAF_OWN_CLASSES`.
"""

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hbaf.files import write_atomically
from hbaf.home import home_folder

NAMED = "HBAF_OWN_CLASSES"  # `./mine.py:Class`, several with a comma between
NOTED = "own-classes.json"  # sha256 of each file that this user named -> where it was


class OwnClassError(ValueError):
    """The user's own file holds no class of that name."""


class NotNamedError(OwnClassError):
    """Code that a package or a plan names, and this user did not, or not with this content."""


def is_own(name: str) -> bool:
    """Whether a name is of the form `path/to/file.py:Class`."""
    return name.rpartition(":")[0].endswith(".py")


def own_class(name: str) -> type[Any]:
    """The class that `path/to/file.py:Class` names. The file is run: it is the user's own code.

    Raises:
        OwnClassError: no such file, or no such class in it.
    """
    path, source = _source(name)
    called = name.rpartition(":")[2]
    # Named by content: the class is loaded once, and again after the file was changed.
    digest = hashlib.sha256(source).hexdigest()
    module_name = f"own_{digest[:16]}"
    _note(digest, path)
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            # Not through the loader: its bytecode cache misses a change of equal length within the same second.
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[module_name]
            raise
    found = getattr(sys.modules[module_name], called, None)
    if not isinstance(found, type):
        raise OwnClassError(f"{path}: holds no class {called}. The name of an own class is `path/to/file.py:Class`.")
    return found


def own_digests(names: Iterable[str]) -> dict[str, str]:
    """Name -> sha256 of the file, of those names that are own classes: kept with what was made by them."""
    return {name: hashlib.sha256(_source(name)[1]).hexdigest() for name in names if is_own(name)}


def check_named(names: Iterable[str], made_with: Mapping[str, str] | None, whose: str) -> None:
    """Asked before anything that a file from elsewhere names is run.

    Args:
        made_with: name -> sha256 that a model was trained with; None where nothing was trained yet.
        whose: what names them, for the message.

    Raises:
        NotNamedError: this user did not name one of them, or its content is another than the one trained with.
    """
    listed = {name.strip() for name in os.environ.get(NAMED, "").split(",")}
    for name in filter(is_own, names):
        path, source = _source(name)
        digest = hashlib.sha256(source).hexdigest()
        trained = digest if made_with is None else made_with.get(name)
        if trained is not None and trained != digest:
            raise NotNamedError(
                f"{path}: is not the file that {whose} was made with ({digest[:12]} here, {trained[:12]} there), so it "
                "is not run. Bring that version back, or train again."
            )
        if name not in listed and (trained is None or digest not in noted()):
            raise NotNamedError(
                f"{whose} names {name}, which is code that would be run, and nobody named it here. If it is yours, "
                f"say so: {NAMED}={name} in the environment" + (f", or `hbaf models check {name}`." if trained else ".")
            )


def noted() -> dict[str, str]:
    """sha256 -> path of the files that this user has named in this home."""
    file = home_folder() / NOTED
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _note(digest: str, path: Path) -> None:
    known = noted()
    if digest not in known:
        content = json.dumps({**known, digest: str(path)}, indent=1)
        write_atomically(home_folder() / NOTED, content.encode(), private=True)


def _source(name: str) -> tuple[Path, bytes]:
    path = Path(name.rpartition(":")[0]).expanduser().absolute()
    if not path.is_file():
        raise OwnClassError(f"{path}: no such file. The name of an own class is `path/to/file.py:Class`.")
    return path, path.read_bytes()
