"""What reading a pickle would cost, worked out from its opcodes before anything of it is built.

A pickle of 34 bytes can ask for gigabytes, one of 245 bytes for a tuple that holds itself twice in each of a hundred
steps: hashing, comparing or copying that takes for ever, and deep ones overflow the stack of the interpreter.
"""

import pickletools
from dataclasses import dataclass

DEEPEST = 50  # tuples inside tuples
LARGEST_TUPLE = 1 << 24  # what a tuple holds, what its tuples hold included, each as often as it stands there
_PUT = ("PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")
_FILLS = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS")
_HASHES = ("SETITEM", "SETITEMS", "ADDITEMS")
_CALLS = ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD", "INST", "OBJ", "DICT", "FROZENSET")


class TooCostlyError(ValueError):
    """Reading it would take more memory, time or stack than data of its size does."""


@dataclass(slots=True)
class _Size:
    """Of one thing on the stack.

    Attributes:
        depth: of tuples inside tuples.
        values: what they hold, each as often as it is reached. Lists and tables count as one: they are met once.
        length: what a copy of it costs: letters, bytes or items.
        inner: the lengths of what a tuple holds.
    """

    depth: int = 0
    values: int = 1
    length: int = 1
    inner: int = 0


_MARK = _Size()


def check_cost(content: bytes) -> None:
    """Follows the stack of a pickle without building anything; takes about a microsecond an opcode.

    Raises:
        TooCostlyError: it would.
        ValueError: it is no whole pickle.
    """
    stack: list[_Size] = []
    memo: dict[int, _Size] = {}
    spent, allowed = 0, LARGEST_TUPLE + 4 * len(content)
    for number, (opcode, given, place) in enumerate(pickletools.genops(content)):
        name, argument = opcode.name, given or 0
        if name == "FRAME" and argument > len(content) - (place or 0):
            raise ValueError("a frame longer than the file")
        if name in _PUT and int(argument) > number:
            raise TooCostlyError(f"it numbers {argument} values and has {number}")
        if name == "MEMOIZE":
            memo[len(memo)] = _top(stack)
        elif name in _PUT:
            memo[int(argument)] = _top(stack)
        elif name in _GET:
            stack.append(memo.get(int(argument)) or _Size())
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "DUP":
            stack.append(_top(stack))
        else:
            taken = _taken(stack, opcode)
            if name in _FILLS:  # a list or table, the last one that was taken, and what goes into it
                taken[-1].length += len(taken) - 1
                spent += sum(size.values for size in taken) if name in _HASHES else 0
                stack.append(taken[-1])
            else:
                spent += sum(size.values + size.inner for size in taken) if name in _CALLS else 0
                after = _after(name, taken, argument)
                stack += [after] * len(opcode.stack_after)
            if spent > allowed:
                raise TooCostlyError("it hashes or copies the same values again and again")


def _after(name: str, taken: list[_Size], argument: object) -> _Size:
    length = sum(size.length for size in taken)
    if name.startswith(("TUPLE", "FROZENSET")):
        depth, values = max((size.depth for size in taken), default=0), sum(size.values for size in taken)
        after = _Size(1 + depth, 1 + values, 1 + len(taken), length)
        if after.depth > DEEPEST or after.values > LARGEST_TUPLE:
            raise TooCostlyError(f"tuples {after.depth} deep hold {after.values} values")
        return after
    if name in _CALLS:  # what a call gives may be as long as what it was given
        return _Size(length=1 + sum(size.inner for size in taken))
    return _Size(length=1 + (len(argument) if isinstance(argument, str | bytes | bytearray) else len(taken)))


def _top(stack: list[_Size]) -> _Size:
    if not stack:
        raise ValueError("an empty stack")
    return stack[-1]


def _taken(stack: list[_Size], opcode: pickletools.OpcodeInfo) -> list[_Size]:
    """Takes what an opcode takes off the stack."""
    taken: list[_Size] = []
    for kind in reversed(opcode.stack_before):
        if kind is pickletools.stackslice:
            continue  # all down to the mark
        if kind is pickletools.markobject:
            while (size := _pop(stack)) is not _MARK:
                taken.append(size)
        else:
            taken.append(_pop(stack))
    return taken


def _pop(stack: list[_Size]) -> _Size:
    if not stack:
        raise ValueError("an empty stack")
    return stack.pop()
