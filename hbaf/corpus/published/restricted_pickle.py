"""Pickles that others publish, read without running anything that they name.

A pickle is a program: it says which function to call with which arguments. Here it may call nothing but the makers of
plain containers, and for numpy's arrays it gets stand-ins of our own, so that no byte of the file reaches numpy except
as the content of an array of plain numbers or text. Everything else is refused before it happens.
"""

import pickle
import re
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hbaf.corpus.schema import CorpusError

NEXT_STEP = (
    "Nothing of it was run. Convert the file to npz with the code it comes from, in an environment that you can lose "
    "(`hbaf import FILE --like npz` reads that)."
)


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that data alone does not need."""


class _Sealed(type):
    """A class that a pickle can hold in its hands, but not change: a state set on it would outlive the file."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise _Refused(f"it changes {cls.__name__}")


class _Dtype(metaclass=_Sealed):
    """Stands for numpy.dtype: numbers, truth values, text and bytes; no fields, no dates."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        self.code, self.order = str(code), "="
        if not re.fullmatch(r"[fiu][1248]|b1|[SU]\d{1,6}|O8?|O4", self.code):
            raise _Refused(f"it holds numbers of type {self.code[:20]!r}")

    def __setstate__(self, state: Sequence[Any]) -> None:
        if any(part is not None for part in state[2:5]):
            raise _Refused("it holds a structured array")
        self.order = state[1] if state[1] in ("<", ">") else "="

    def plain(self) -> np.dtype:
        if self.code.startswith("O"):
            raise _Refused("it holds bytes as Python objects")
        return np.dtype(self.order + self.code)


class _Array(metaclass=_Sealed):
    """Stands for numpy.ndarray while the pickle is read; `value` is the array."""

    __slots__ = ("value",)

    def __init__(self, kind: object = None, shape: object = (0,), code: object = b"b") -> None:
        self.value = np.empty(0, np.int8)

    def __setstate__(self, state: Sequence[Any]) -> None:
        shape, dtype, fortran, content = state[-4:]  # before them the version, where there is one
        if not isinstance(dtype, _Dtype):
            raise _Refused("an array without a type")
        if isinstance(content, list):
            if not dtype.code.startswith("O"):
                raise _Refused(f"Python objects as numbers of type {dtype.code!r}")
            flat = np.empty(len(content), object)
            for index, item in enumerate(content):
                flat[index] = item
            self.value = flat.reshape(shape, order="F" if fortran else "C")
        else:
            self.value = _from_bytes(content, dtype).reshape(shape, order="F" if fortran else "C")


class _FromBuffer(metaclass=_Sealed):
    """Stands for numpy's `_frombuffer`, which pickles of protocol 5 call."""

    def __new__(cls, content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
        array = _Array()
        flat = _from_bytes(content, dtype)
        if order == "K" and axes is not None:
            array.value = flat.reshape(shape).transpose(axes)
        else:
            array.value = flat.reshape(shape, order="F" if order == "F" else "C")
        return array


class _Scalar(metaclass=_Sealed):
    """Stands for numpy's `scalar`."""

    def __new__(cls, dtype: Any, content: Any = b"") -> Any:
        return _from_bytes(content, dtype)[0].item()


class _Latin1(metaclass=_Sealed):
    """Stands for `_codecs.encode`, which pickles of protocol 2 and below write bytes with."""

    def __new__(cls, text: Any, encoding: Any = "latin1") -> Any:
        if encoding not in ("latin1", "latin-1"):
            raise _Refused(f"it encodes text as {encoding!r}")
        return str(text).encode("latin1")


class _Ndarray(metaclass=_Sealed):
    """Stands for the name numpy.ndarray where it is an argument."""


_BUILTINS = {
    kind.__name__: kind
    for kind in (list, dict, tuple, set, frozenset, str, bytes, bytearray, int, float, bool, complex)
}
_BUILTINS["unicode"] = str  # Python 2
_NUMPY = {"_reconstruct": _Array, "scalar": _Scalar}
ALLOWED: dict[str, dict[str, Any]] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
    "collections": {"defaultdict": defaultdict, "OrderedDict": OrderedDict},
    "numpy": {"ndarray": _Ndarray, "dtype": _Dtype},
    "numpy.core.multiarray": _NUMPY,
    "numpy._core.multiarray": _NUMPY,
    "numpy.core.numeric": {"_frombuffer": _FromBuffer},
    "numpy._core.numeric": {"_frombuffer": _FromBuffer},
    "_codecs": {"encode": _Latin1},
}


_CONTAINERS = (_Array, _Dtype, dict, list, tuple, type)


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Never imports: what is not in the table does not exist, and a dotted name is looked up whole."""
        try:
            return ALLOWED[module][name]
        except KeyError:
            raise _Refused(f"it names {module}.{name}") from None


def load_pickle(path: Path) -> Any:
    """The containers, texts, numbers and arrays of a pickle, of Python 2 or 3.

    Raises:
        CorpusError: it cannot be read, is no pickle, or asks for anything else, which then was not run.
    """
    try:
        with path.open("rb") as stream:
            # Python 2 wrote the bytes of its arrays as text; latin1 gives them back one by one.
            return _thaw(_RestrictedUnpickler(stream, encoding="latin1").load(), {})
    except _Refused as refused:
        raise CorpusError(f"{path}: more than plain data: {refused}, which is not allowed. {NEXT_STEP}") from refused
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error
    # Any error can come out of bytes that are no pickle, or half of one.
    except Exception as error:
        raise CorpusError(
            f"{path}: not a whole pickle of plain data ({type(error).__name__}: {str(error)[:80]}). Fetch it again."
        ) from error


def _from_bytes(content: Any, dtype: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise _Refused("an array without a type")
    if isinstance(content, str):
        content = content.encode("latin1")
    return np.frombuffer(bytes(content), dtype.plain())


def _thaw(value: Any, done: dict[int, Any]) -> Any:
    """The same with arrays in place of the stand-ins; what holds itself keeps doing so."""
    if isinstance(value, _Array):
        if value.value.dtype != object:
            return value.value
        if id(value) not in done:
            done[id(value)] = thawed = np.empty(value.value.shape, object)
            for index in np.ndindex(value.value.shape):
                thawed[index] = _thaw(value.value[index], done)
        return done[id(value)]
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, dict):
        table: dict[Any, Any] = {}
        done[id(value)] = table
        table.update({key: _thaw(item, done) for key, item in value.items()})
        return table
    if isinstance(value, list):
        if not any(isinstance(item, _CONTAINERS) for item in value):
            return value  # a vector as a list of numbers: nothing to do, and there may be millions
        items: list[Any] = []
        done[id(value)] = items
        items.extend(_thaw(item, done) for item in value)
        return items
    if isinstance(value, tuple):
        return tuple(_thaw(item, done) for item in value)
    if isinstance(value, _Dtype | type):
        raise _Refused("it holds a class instead of data")
    return value
