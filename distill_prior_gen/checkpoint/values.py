"""The values of a model file: tensors, numbers, text, and lists and dictionaries of them.

`torch.save` writes them as a pickle, which is a program for a stack machine. This interpreter
executes only the few instructions that create such values. It imports, calls and changes nothing
else, and limits the number and the nesting of values.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_INSTRUCTIONS = 200_000
MAX_VALUES = 200_000
"""Number of values of a file. A value that is used twice counts twice, as it is shown twice."""

MAX_DEPTH = 16
"""Depth of lists and dictionaries inside each other."""

MAX_INTEGER = 2**63 - 1

DTYPES = {
    "torch BFloat16Storage": torch.bfloat16,
    "torch BoolStorage": torch.bool,
    "torch ByteStorage": torch.uint8,
    "torch CharStorage": torch.int8,
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch IntStorage": torch.int32,
    "torch LongStorage": torch.int64,
    "torch ShortStorage": torch.int16,
}
DICTIONARY = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
SCALARS = (str, int, float, bool, type(None))


class ValuesError(ValueError):
    """A file holds values that are not accepted."""


class UnsafeError(ValuesError):
    """A file holds something other than tensors and plain values."""


@dataclass(frozen=True)
class Storage:
    """Numbers in the archive that tensors are views of.

    Attributes:
        key: name of the entry in the archive.
        dtype: type of the numbers.
        count: number of the numbers.
    """

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class View:
    """Position of a tensor in its storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name that the pickle refers to."""

    name: str


def read_values(pickle: bytes, tensor: Callable[[View], Tensor]) -> Any:
    """The value that a pickle describes.

    Args:
        pickle: a pickle as `torch.save` writes it.
        tensor: function that creates a tensor from its description.

    Raises:
        UnsafeError: if it holds anything other than tensors and plain values.
        ValuesError: if it holds too many values or nests them too deeply.
        Exception: of any kind, if it is damaged.
    """
    machine = _Machine(tensor)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
        if count == MAX_INSTRUCTIONS:
            raise ValuesError("it holds too many values")
        machine.obey(opcode.name, argument)
    (value,) = machine.stack
    _check_values(value)
    return value


class _Machine:
    def __init__(self, tensor: Callable[[View], Tensor]) -> None:
        self.tensor = tensor
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def obey(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "STOP":
                pass
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                stack.append(CONSTANTS[name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.pop(int(name[-1]))))
            case "MARK":
                self.marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self.pop_to_mark()))
            case "APPEND" | "APPENDS":
                items = self.pop(1) if name == "APPEND" else self.pop_to_mark()
                _expect(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self.pop(2) if name == "SETITEM" else self.pop_to_mark()
                keys = [_expect(key, *SCALARS) for key in items[::2]]
                _expect(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                if argument not in (*DTYPES, DICTIONARY, TENSOR, PARAMETER):
                    raise UnsafeError(argument)
                stack.append(_Name(argument))
            case "BINPERSID":
                stack.append(_storage(*_expect(stack.pop(), tuple)))
            case "REDUCE":
                function, arguments = self.pop(2)
                stack.append(self.call(_expect(function, _Name).name, arguments))
            case "BUILD":
                # Versions of modules, an attribute of an OrderedDict of weights that is not used.
                target, _ = self.pop(2)
                stack.append(_expect(target, dict))
            case _:
                raise UnsafeError(name)

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def call(self, name: str, arguments: Any) -> Any:
        _expect(arguments, tuple)
        if name == DICTIONARY and not arguments:
            return {}
        if name == TENSOR:
            storage, offset, shape, stride, _, *attributes = arguments
            if any(_expect(table, dict, type(None)) for table in attributes):
                raise UnsafeError("a tensor with attributes")
            return self.tensor(_view(storage, offset, shape, stride))
        if name == PARAMETER:
            parameter, _, hooks = arguments
            if _expect(hooks, dict):
                raise UnsafeError("a parameter with hooks")
            return _expect(parameter, Tensor)
        raise UnsafeError(name)


def _expect(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise UnsafeError(type(value).__name__)
    return value


def _storage(kind: Any, dtype: Any, key: Any, device: Any, count: Any) -> Storage:
    if _expect(kind, str) != "storage" or _expect(dtype, _Name).name not in DTYPES:
        raise UnsafeError("an unknown kind of storage")
    return Storage(_expect(key, str), DTYPES[dtype.name], _expect(count, int))


def _view(storage: Any, offset: Any, shape: Any, stride: Any) -> View:
    _expect(storage, Storage)
    sizes = (offset, *_expect(shape, tuple), *_expect(stride, tuple))
    if any(type(n) is not int or n < 0 for n in sizes) or len(shape) != len(stride):
        raise UnsafeError("a tensor with a shape that is none")
    count = 1
    for size in shape:
        count *= size
        if count > storage.count:
            raise ValuesError("its tensors claim more data than the file holds")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if count and last >= storage.count:
        raise ValuesError("its tensors claim more data than the file holds")
    return View(storage, offset, shape, stride)


def _check_values(value: Any) -> None:
    level, count = [value], 1
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for value in level:
            kind = type(value)
            if kind in (list, tuple, dict):
                count += len(value)
                if count > MAX_VALUES:
                    raise ValuesError("it holds too many values")
                inner.extend(value.values() if kind is dict else value)
            elif kind is int and abs(value) > MAX_INTEGER:
                raise ValuesError("it holds a number of more than 64 bits")
            elif kind not in (*SCALARS, Tensor):
                raise UnsafeError(kind.__name__)
        level = inner
    if level:
        raise ValuesError("it nests values too deeply")
