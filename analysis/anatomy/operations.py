"""What a block computes, operation by operation, and looking at or changing the operands of those that join maps.

Operations are those of torch that the Python code of the block and of its modules calls: what is scripted is not seen,
and said to be so. A join is an addition, a multiplication or a concatenation. Joins are counted from 0 in the order in
which a block's pass calls them, each kind by itself, which gives their values names: `layer3.0::add0` is what the first
addition gives, `layer3.0::add0.1` its second operand.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import RunError
from .hooks import depth, find_module, hooked

ADD, MULTIPLY, CONCATENATE = "add", "mul", "cat"

_SYNONYMS = {"multiply": MULTIPLY, "concat": CONCATENATE, "concatenate": CONCATENATE, "truediv": "div", "divide": "div"}
_OPERATOR = re.compile(r"__[ir]?(add|sub|mul|truediv|matmul|getitem|neg)__")
_PLACE = re.compile(r"(?P<block>.*)::(?P<kind>add|mul|cat)(?P<count>\d+)(?:\.(?P<operand>\d+))?")


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in a block's pass.

    Args:
        tensor: a copy of it, as it was then.
        operation: that gave it; None of what came into the block and of parameters.
        name: of the parameter or input; what gave it otherwise.
        traced: whether it depends on what came into the block.
    """

    tensor: torch.Tensor
    operation: "Operation | None"
    name: str
    traced: bool


UNSEEN = "unseen"
"""The name of a value that was made by what is not seen here."""


@dataclass(eq=False)
class Operation:
    """A call of a function of torch.

    Args:
        name: of the function, without what says that it overwrites or is an operator: `relu`, `add`.
        module: in whose code it is called.
        inputs: the tensors that it was given, in order.
        outputs: those that it gave.
        place: its name where it is a join, as `layer3.0::add0`.
    """

    name: str
    module: str
    inputs: list[Value]
    outputs: list[Value] = field(default_factory=list)
    place: str | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a module within a block's pass, with what went in and came out where that is a tensor."""

    module: str
    x: Value | None
    y: Value | None


class Recorder(TorchFunctionMode):
    """Notes every operation of a block's pass.

    Args:
        block: its name.
        constants: parameters and buffers by name.

    Attributes:
        operations: in order.
        calls: of the modules within the block, in the order in which they ended.
    """

    def __init__(self, block: str, constants: Mapping[str, torch.Tensor]):
        super().__init__()
        self.block = block
        self.operations: list[Operation] = []
        self.calls: list[Call] = []
        self._going: list[tuple[str, Value | None]] = []
        self._constants = {id(tensor): name for name, tensor in constants.items()}
        self._latest: dict[int, Value] = {}
        self._alive: list[torch.Tensor] = []  # so that no identity is given twice
        self._counts = dict.fromkeys((ADD, MULTIPLY, CONCATENATE), 0)

    def arrive(self, inputs: Sequence) -> None:
        """Note what comes into the block."""
        for number, tensor in enumerate(_tensors(inputs)):
            self._set(tensor, Value(tensor.clone(), None, f"input {number}", True))

    def enter(self, module: str, inputs: Sequence) -> None:
        """Note what goes into a module within the block."""
        self._going.append((module, next(map(self.value, _tensors(inputs)), None)))

    def leave(self, module: str, output) -> None:
        """Note what it gives."""
        _, x = self._going.pop()
        self.calls.append(Call(module, x, self.value(output) if isinstance(output, torch.Tensor) else None))

    def value(self, tensor: torch.Tensor) -> Value:
        """What is known of a tensor at hand."""
        known = self._latest.get(id(tensor))
        if known is None:
            constant = self._constants.get(id(tensor))
            known = Value(tensor.detach().clone(), None, constant or UNSEEN, constant is None)
            self._set(tensor, known)
        return known

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        inputs = [self.value(tensor) for tensor in _tensors((args, kwargs))]
        name = _raw_name(function)
        operation = Operation(_name_of(function), self._going[-1][0] if self._going else self.block, inputs)
        if operation.name in self._counts:
            if not any(True for _ in _tensors(kwargs)) and "alpha" not in kwargs:
                operation.place = f"{self.block}::{operation.name}{self._counts[operation.name]}"
            self._counts[operation.name] += 1
        result = function(*args, **kwargs)
        given = list(_tensors(args[0] if name == "__setitem__" else result))
        traced = any(each.traced for each in inputs)
        for tensor in given:
            value = Value(tensor.clone(), operation, operation.name, traced)
            operation.outputs.append(value)
            self._set(tensor, value)
            if _overwrites(name) and tensor._is_view():  # what it is a view of is changed as well
                whole = tensor._base
                assert whole is not None
                self._set(whole, Value(whole.clone(), operation, operation.name, traced))
        if given:
            self.operations.append(operation)
        return result

    def _set(self, tensor: torch.Tensor, value: Value) -> None:
        self._latest[id(tensor)] = value
        self._alive.append(tensor)


def _raw_name(function) -> str:
    return getattr(function, "__name__", str(function))


def _name_of(function) -> str:
    """A function's name, the same for all ways to write it.

    >>> [_name_of(each) for each in (torch.Tensor.__iadd__, torch.Tensor.relu_, torch.multiply)]
    ['add', 'relu', 'mul']
    """
    name = _raw_name(function)
    operator = _OPERATOR.fullmatch(name)
    plain = operator[1] if operator else name.strip("_")
    return _SYNONYMS.get(plain, plain)


def _overwrites(name: str) -> bool:
    """Whether a function of this name overwrites its first argument."""
    return name.startswith("__i") or name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


def _tensors(values) -> Iterator[torch.Tensor]:
    """All tensors in arguments or results, those in lists too, in order."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        for each in values.values():
            yield from _tensors(each)
    elif isinstance(values, tuple | list):
        for each in values:
            yield from _tensors(each)


Change = Callable[[torch.Tensor], torch.Tensor | None]
"""What is done with a tensor at a place: looked at, or, where another is given back, replaced."""


class _Joins(TorchFunctionMode):
    """Changes operands and results of the joins of one pass of a block."""

    def __init__(self, changes: Mapping[tuple[str, int, int | None], Change]):
        super().__init__()
        self.changes, self.missing, self.depth = changes, set(changes), depth()
        self.counts = dict.fromkeys((ADD, MULTIPLY, CONCATENATE), 0)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        kind = _name_of(function)
        if kind not in self.counts or depth() != self.depth:
            return function(*args, **kwargs)
        at = (kind, self.counts[kind])
        self.counts[kind] += 1
        wanted = {key[2]: change for key, change in self.changes.items() if key[:2] == at}
        self.missing -= {(*at, operand) for operand in wanted}
        if not wanted:
            return function(*args, **kwargs)
        overwrites = _overwrites(_raw_name(function))
        result = function(*self._operands(args, wanted, overwrites), **kwargs)
        changed = wanted[None](result) if None in wanted else None
        if changed is None:
            return result
        return result.copy_(changed) if overwrites else changed

    def _operands(self, args, wanted: Mapping[int | None, Change], overwrites: bool) -> tuple:
        """The arguments of a join with some operands replaced; the one that the join overwrites keeps its place."""
        sequence = isinstance(args[0], tuple | list)  # of a concatenation
        operands, place = list(args[0] if sequence else args), 0
        for number, operand in enumerate(operands):
            if not isinstance(operand, torch.Tensor):
                continue
            if place in wanted and (changed := wanted[place](operand)) is not None:
                operands[number] = operand.copy_(changed) if overwrites and place == 0 else changed
            place += 1
        return (operands, *args[1:]) if sequence else tuple(operands)


def is_join(place: str) -> bool:
    """Whether a place is an operation's, and no module."""
    return "::" in place


@contextmanager
def at_places(network: nn.Module, changes: Sequence[tuple[str, Change]]) -> Iterator[None]:
    """Look at, or replace, values of a network's passes inside the with-block.

    Args:
        changes: places, each the name of a module, whose output it is, or of a join's value (`layer3.0::add0.1`); and
            what is done with each.

    Raises:
        RunError: a block does not call a join that its place names.
    """
    modules = [(find_module(network, place), _of_output(change)) for place, change in changes if not is_join(place)]
    by_block: dict[str, dict[tuple[str, int, int | None], Change]] = {}
    for place, change in changes:
        if is_join(place) and (match := _PLACE.fullmatch(place)):
            operand = match["operand"]
            key = (match["kind"], int(match["count"]), None if operand is None else int(operand))
            by_block.setdefault(match["block"], {})[key] = change
    with ExitStack() as stack:
        for block, wanted in by_block.items():
            stack.enter_context(_within(network, block, wanted))
        stack.enter_context(hooked(*modules))
        yield


def _of_output(change: Change):
    return lambda module, args, output: change(output)


@contextmanager
def _within(network: nn.Module, block: str, changes: Mapping) -> Iterator[None]:
    """Let a mode be on while the block runs, whoever calls it."""
    going: list[_Joins] = []

    def enter(module, args):
        going.append(_Joins(changes))
        going[-1].__enter__()

    def leave(module, args, output):
        mode = going.pop()
        mode.__exit__(None, None, None)
        if mode.missing and output is not None:
            kind, count, _ = sorted(mode.missing, key=str)[0]
            raise RunError(f"block `{block}` computes otherwise than it did on noise: it calls no {kind}{count}")

    module = find_module(network, block)
    with hooked((module, leave), before=[(module, enter)]):
        try:
            yield
        finally:
            while going:  # the block failed midway
                going.pop().__exit__(None, None, None)
