"""Pickles that others publish, read without running anything that they name.

A pickle is a program: it says which function to call with which arguments. Here it may call nothing but the makers of
plain containers, and for numpy's arrays it gets stand-ins of our own, so that no byte of the file reaches numpy except
as the content of an array of plain numbers or text. Everything else is refused before it happens.
"""

import io
import pickle
import re
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hbaf.corpus.published.pickle_cost import TooCostlyError, check_cost
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


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise _Refused("it names a type or text by something else than text")
    return value


class _Dtype(metaclass=_Sealed):
    """Stands for numpy.dtype: numbers, truth values, text and bytes; no fields, no dates."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        self.code, self.order = _text(code), "="
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
        return _text(text).encode("latin1")


class _Ndarray(metaclass=_Sealed):
    """Stands for the name numpy.ndarray where it is an argument."""


def _scalar_maker(kind: type) -> type:
    """`kind` for one plain value: `bytes(4_000_000_000)` would be so many zeros, text of nested tuples has no end."""

    class Maker(metaclass=_Sealed):
        def __new__(cls, *values: Any) -> Any:
            if len(values) > 2 or not all(isinstance(value, str | bytes | int | float | bool) for value in values):
                raise _Refused(f"it makes {kind.__name__} of something else than a plain value")
            if kind in (bytes, bytearray) and any(isinstance(value, int) for value in values):
                raise _Refused(f"it makes {kind.__name__} of a length alone")
            return kind(*values)

    return Maker


_BUILTINS: dict[str, Any] = {kind.__name__: kind for kind in (list, dict, tuple, set, frozenset)}
_BUILTINS |= {kind.__name__: _scalar_maker(kind) for kind in (str, bytes, bytearray, int, float, bool, complex)}
_BUILTINS["unicode"] = _BUILTINS["str"]  # Python 2
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
        content = path.read_bytes()
        check_cost(content)
        # Python 2 wrote the bytes of its arrays as text; latin1 gives them back one by one.
        return _thaw(_RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load(), {})
    except TooCostlyError as costly:
        raise CorpusError(
            f"{path}: reading it would cost more than data of its size: {costly}. {NEXT_STEP}"
        ) from costly
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
    if not isinstance(content, bytes | bytearray):
        raise _Refused("an array whose content is no bytes")
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
        done[id(value)] = fixed = tuple(_thaw(item, done) for item in value)
        return fixed
    if isinstance(value, _Dtype | type):
        raise _Refused("it holds a class instead of data")
    return value
