"""A class of the user's own, by `path/to/file.py:Class`: an extractor or a system, without a fork."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any


class OwnClassError(ValueError):
    """The user's own file holds no class of that name."""


def is_own(name: str) -> bool:
    """Whether a name is of the form `path/to/file.py:Class`."""
    return name.rpartition(":")[0].endswith(".py")


def own_class(name: str) -> type[Any]:
    """The class that `path/to/file.py:Class` names. The file is run: it is the user's own code.

    Raises:
        OwnClassError: no such file, or no such class in it.
    """
    written, _, called = name.rpartition(":")
    path = Path(written).expanduser().absolute()
    if not path.is_file():
        raise OwnClassError(f"{path}: no such file. The name of an own class is `path/to/file.py:Class`.")
    # Named by content: the class is loaded once, and again after the file was changed.
    source = path.read_bytes()
    module_name = f"own_{hashlib.sha256(source).hexdigest()[:16]}"
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
