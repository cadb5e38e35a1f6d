"""What of a block is its branch, its shortcut and its gate: read off what it computes, then proved by intervention.

No name decides. A block's output is followed back through operations that keep channels apart, to the addition that
gives it. The operand that is the block's input, or is made of it by at most one convolution and no activation function,
is the shortcut; the other is the branch. A gate is a multiplication of a map by values that depend on the images, on
the way to the branch's end, or the only one within it. What is found holds only if dropping the whole branch leaves
what follows the addition of the shortcut alone, and if a gate whose values are replaced by 1 gives its input.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.utils._pytree import tree_map

from ..errors import UsageError
from ..networks.card import INPUT, StatedParts
from .hooks import aside
from .operations import ADD, CONCATENATE, MULTIPLY, UNSEEN, Change, Operation, Recorder, Value, at_places, is_join

PROVED, STATED, NOT_FOUND, NONE = "proved", "stated", "not found", "none"
"""How a part is known: read off and verified; said by somebody and verified; unknown; known not to be there."""

AT_BRANCH, AT_PART, INSIDE, AT_OUTPUT = "branch", "part", "inside", "output"
"""Where maps are dropped: at the branch's end, before the shortcut is added, as in the paper; in the part of the output
that the branch is concatenated to; at a gate within the branch, which other layers follow; or in the block's whole
output, since nothing is added to it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ACTIVATIONS = _names(
    "relu relu6 silu gelu hardswish hardsigmoid sigmoid tanh elu selu celu leaky_relu prelu mish softplus softsign "
    "hardtanh clamp threshold logsigmoid"
)
_SAME = _names(
    "dropout dropout2d feature_dropout alpha_dropout contiguous clone detach to float half bfloat16 type type_as alias "
    "batch_norm instance_norm mul div add sub neg"
)
"""Functions that keep channels and positions apart, and bend nothing, where one operand depends on the images."""
_CHANNELWISE = _ACTIVATIONS | _SAME
_WEIGHTED = _names("conv1d conv2d conv3d conv_transpose2d linear matmul bmm addmm einsum")
_SHAPING = _names(
    "pad constant_pad_nd interpolate upsample getitem view reshape flatten permute transpose squeeze unsqueeze expand "
    "expand_as cat zeros zeros_like new_zeros narrow chunk split avg_pool2d adaptive_avg_pool2d max_pool2d "
    "adaptive_max_pool2d max_pool2d_with_indices channel_shuffle pixel_shuffle pixel_unshuffle group_norm layer_norm "
    "local_response_norm"
)
_VIEWS = _names("view reshape expand expand_as unsqueeze squeeze getitem transpose permute flatten contiguous")
"""Functions that give the same values in another shape."""
_AS_ANOTHER = _names("view_as reshape_as expand_as type_as")
_SPREADING = _names("expand expand_as repeat broadcast_to interpolate upsample")
_STRAIGHT = _SAME | _WEIGHTED | _SHAPING
"""Functions that a shortcut may call: none of them is an activation function."""


@dataclass(frozen=True)
class Site:
    """Where feature maps of one block are dropped, and where its gate is.

    A place is the name of a module, whose output it is, or that of a value of an operation, as `operations` has them.

    Args:
        block: the block's name.
        branch: the place whose channels are dropped.
        channels: of the branch.
        gate: the gate: a module, or the place of what a multiplication gives; None where there is none.
        values: the place of the values by which it multiplies.
        dropped_at: "branch" as in the paper, or "part", "inside" or "output".
        ungated: the place of what the gate multiplies.
        total: the place of the sum of branch and shortcut.
        activated: whether an activation function follows it.
    """

    block: str
    branch: str
    channels: int
    gate: str | None = None
    values: str | None = None
    dropped_at: str = AT_BRANCH
    ungated: str | None = field(default=None, compare=False)
    total: str | None = field(default=None, compare=False)
    activated: bool = field(default=False, compare=False)

    @property
    def entry(self) -> str:
        """The module that computes the gate's values from what goes into it: the gate, or the whole block."""
        alone = self.gate is not None and not is_join(self.gate) and not is_join(str(self.values))
        return str(self.gate) if alone else self.block


@dataclass(frozen=True)
class Anatomy:
    """What is known of a block.

    Args:
        site: where its maps are dropped; None where that is not known.
        branch, shortcut, gate: where they are, in words; empty where they are not known or not there.
        branch_status, shortcut_status, gate_status: "proved", "stated", "not found" or "none".
        gate_kind: "channel", "mixed" (its values differ between positions), "spatial", or empty.
        why: what is missing for what is not found.
    """

    block: str
    site: Site | None
    branch: str = ""
    branch_status: str = NOT_FOUND
    shortcut: str = ""
    shortcut_status: str = NOT_FOUND
    gate: str = ""
    gate_status: str = NONE
    gate_kind: str = ""
    why: str = ""


class _Unknown(Exception):
    """Why something cannot be told."""


def recognise(recorder: Recorder, output: Value, stated: StatedParts) -> Anatomy:
    """The parts of a block whose pass was recorded, not verified yet.

    Args:
        output: of the block.
    """
    try:
        return _Reading(recorder, output, stated).anatomy()
    except _Unknown as why:
        return Anatomy(recorder.block, None, gate_status=NOT_FOUND, why=str(why))


@dataclass(frozen=True)
class _Join:
    """The operation that gives a block's output, and its operands."""

    operation: Operation
    branch: int
    shortcut: int | None


class _Reading:
    """What the operations of one block's pass tell."""

    def __init__(self, recorder: Recorder, output: Value, stated: StatedParts):
        self.recorder, self.output, self.block = recorder, output, recorder.block
        below = [call.module.removeprefix(f"{self.block}.") for call in recorder.calls]
        said = {part: pattern for part, pattern in vars(stated).items() if pattern and _is_among(pattern, below)}
        self.stated = StatedParts(**said)

    def anatomy(self) -> Anatomy:
        join = self._join()
        if join is None:
            return self._whole_output()
        operation, dropped_at = join.operation, AT_BRANCH if join.shortcut is not None else AT_PART
        branch = operation.inputs[join.branch]
        place = self._named(branch) or f"{operation.place}.{join.branch}"
        site = Site(self.block, place, branch.tensor.shape[1], dropped_at=dropped_at, total=operation.place)
        site = replace(site, activated=self._is_activated(operation.outputs[0]))
        said = STATED if self.stated.branch or self.stated.shortcut else PROVED
        shortcut = "" if join.shortcut is None else self._told(operation.inputs[join.shortcut])
        found = Anatomy(self.block, site, self._told(branch, place), said, shortcut or "concatenated", said)
        return self._with_gate(found, branch)

    def _join(self) -> _Join | None:
        """The addition or concatenation that gives the output; None where there is none."""
        total = _followed(self.output)
        operation = total.operation
        if any(value.name == UNSEEN for value in _behind(self.output)):
            raise _Unknown("part of what it computes is not seen: scripted or compiled code, or a tensor of its own")
        kind = _kind(operation)
        if operation is not None and kind == ADD and len(_distinct(operation.inputs)) == 2:
            return self._addition(operation)
        if operation is not None and kind == CONCATENATE:
            return self._concatenation(operation)
        if self.stated.branch or self.stated.shortcut:
            raise UsageError(f"block `{self.block}` ends in no addition, so that it has neither branch nor shortcut")
        self._check_nothing_added()
        return None

    def _check_nothing_added(self) -> None:
        """Raise where a sum could be hidden: the output must come from a layer, by functions that are known."""
        value = self.output
        while (operation := value.operation) is not None and operation.name not in _WEIGHTED:
            gate, traced = _gate(operation), _traced(operation)
            if _kind(operation) == CONCATENATE:
                return
            if gate is not None:
                value = operation.inputs[1 - gate.values]
            elif _bent(operation) is not None or (len(traced) == 1 and operation.name in _CHANNELWISE | _SHAPING):
                value = _bent(operation) or traced[0]
            elif _kind(operation) == ADD:
                raise _Unknown("its sum is followed by functions that do not keep channels and positions apart")
            else:
                raise _Unknown(f"its output is made by `{operation.name}`, which may or may not add a shortcut")

    def _addition(self, operation: Operation) -> _Join:
        if operation.place is None or len(operation.inputs) != 2:
            raise _Unknown(f"its output is added with other factors than 1 (`{operation.name}`)")
        if any(value.tensor.shape != operation.outputs[0].tensor.shape for value in operation.inputs):
            raise _Unknown("what is added in the end are not two maps of one size")
        chosen = self._stated_branch(operation.inputs)
        if chosen is None:
            chosen = self._told_apart(*operation.inputs)
        return _Join(operation, chosen, 1 - chosen)

    def _stated_branch(self, operands: Sequence[Value]) -> int | None:
        """Which operand is the branch by what somebody says."""
        chosen = set()
        for part, pattern in (("branch", self.stated.branch), ("shortcut", self.stated.shortcut)):
            if not pattern:
                continue
            value = self._module_value(pattern, part)
            where = [any(each is value for each in _way_back(operand)) for operand in operands]
            if sum(where) != 1:
                raise UsageError(
                    f"block `{self.block}`: the {part} `{pattern}` is none of the two maps that are added in the end"
                )
            chosen.add(where.index(part == "branch"))
        if len(chosen) > 1:
            raise UsageError(f"block `{self.block}`: what is stated as its branch and its shortcut is one map")
        return next(iter(chosen), None)

    def _told_apart(self, *operands: Value) -> int:
        """Which of two operands of the addition is the branch."""
        behind = [_operations_behind(value) for value in operands]
        own = [[each for each in mine if each not in theirs] for mine, theirs in (behind, behind[::-1])]
        weighted = [sum(each.name in _WEIGHTED for each in mine) for mine in own]
        simple = [_may_be_shortcut(mine, every) for mine, every in zip(own, behind, strict=True)]
        for shortcut, branch in ((0, 1), (1, 0)):
            least = weighted[shortcut] == 0 and weighted[branch] > 0
            if simple[shortcut] and weighted[branch] > 0 and (least or not simple[branch]):
                if weighted[shortcut] and _kind(_followed(operands[branch]).operation) == ADD:
                    raise _Unknown("three maps or more are added in the end, and the last of them is not its input")
                return branch
        sums = sum(_kind(each) == ADD and len(_distinct(each.inputs)) == 2 for each in self.recorder.operations)
        if sums > 1 and not any(simple):
            raise _Unknown(f"it holds {sums} sums; name a block that holds one")
        raise _Unknown("both maps that are added in the end could be the branch")

    def _concatenation(self, operation: Operation) -> _Join | None:
        channels = sum(value.tensor.shape[1] for value in operation.inputs if value.tensor.ndim == 4)
        if operation.place is None or channels != operation.outputs[0].tensor.shape[1]:
            raise _Unknown("its output is concatenated, but not of maps by their channels")
        chosen = self._stated_branch(operation.inputs) if len(operation.inputs) == 2 else None
        if chosen is not None:
            return _Join(operation, chosen, None)
        behind = [_operations_behind(value) for value in operation.inputs]
        weighted = [sum(each.name in _WEIGHTED for each in mine) for mine in behind]
        branches = [number for number, amount in enumerate(weighted) if amount]
        if len(branches) == len(weighted):
            return None  # all are branches
        if len(branches) != 1:
            raise _Unknown("several of the maps that are concatenated in the end could be the branch")
        return _Join(operation, branches[0], None)

    def _whole_output(self) -> Anatomy:
        site = Site(self.block, self.block, self.output.tensor.shape[1], dropped_at=AT_OUTPUT)
        return self._with_gate(Anatomy(self.block, site, "the block's output", NONE, "", NONE), self.output)

    def _with_gate(self, found: Anatomy, branch: Value) -> Anatomy:
        at_end = list(self._gates_at_end(branch))
        inside = list(self._gates_within(branch)) if not at_end else []
        gates = [gate for gate in at_end + inside if self._is_stated(gate)]
        if self.stated.gate and not gates:
            raise UsageError(
                f"block `{self.block}`: `{self.stated.gate}` multiplies no map of the branch, (N, C, H, W), by values "
                f"(N, C, 1, 1) that depend on the images; a gate in another shape is not read"
            )
        kinds = [gate.kind for gate in gates]
        usable = [gate for gate in gates if gate.kind == "channel"]
        if not usable and kinds == ["mixed"]:
            usable = gates
        if not self.stated.gate and not at_end and (unknown := _unknown_at_end(branch)):
            return replace(found, site=None, gate_status=NOT_FOUND, why=unknown)
        if not usable:
            if not kinds:
                unknown = _unknown_behind(branch)
                return replace(found, gate_status=NOT_FOUND, why=unknown) if unknown else found
            kind = "mixed" if "mixed" in kinds else kinds[0]
            why = f"its gates are {' and '.join(kinds)}: none has a value for each channel"
            return replace(found, gate_status=NOT_FOUND, gate_kind=kind, why=why)
        if len(usable) > 1:
            why = f"it holds {len(usable)} gates"
            return replace(found, site=None, gate_status=NOT_FOUND, gate_kind="channel", why=why)
        gate = usable[0]
        name = self._gate_name(gate)
        place = gate.operation.place
        values = self._values_name(gate.operation.inputs[gate.values]) or f"{place}.{gate.values}"
        assert found.site is not None
        site = replace(found.site, gate=name, values=values, ungated=f"{place}.{1 - gate.values}")
        if gate in inside:
            channels = gate.operation.outputs[0].tensor.shape[1]
            site = replace(site, branch=name, channels=channels, dropped_at=INSIDE)
        elif gate.operation.outputs[0] is branch:
            site = replace(site, branch=name)
        told = self._told(gate.operation.outputs[0], name)
        status = STATED if self.stated.gate else PROVED
        return replace(found, site=site, gate=told, gate_status=status, gate_kind=gate.kind)

    def _is_stated(self, gate: "_Gate") -> bool:
        if not self.stated.gate:
            return True
        inner = gate.operation.module.removeprefix(f"{self.block}.")
        return any(fnmatchcase(outer, self.stated.gate) for outer in _with_outer(inner))

    def _gates_at_end(self, branch: Value) -> "Iterator[_Gate]":
        """The gates that the branch's end has gone through, the last first."""
        value = branch
        while (gate := _gate(_followed(value).operation)) is not None:
            yield gate
            value = gate.operation.inputs[1 - gate.values]

    def _gates_within(self, branch: Value) -> "Iterator[_Gate]":
        for operation in _operations_behind(branch):
            gate = _gate(operation)
            if gate is not None and gate.kind in ("channel", "mixed") and not self._is_bypassed(gate, branch):
                yield gate

    def _is_bypassed(self, gate: "_Gate", branch: Value) -> bool:
        """Whether what a gate multiplies reaches the branch's end in other ways too, as in response normalisation."""
        x, values = gate.operation.inputs[1 - gate.values], gate.operation.inputs[gate.values]
        takers = [each for each in self.recorder.operations if any(value is x for value in each.inputs)]
        beyond = [each for each in _operations_behind(branch) if each not in _operations_behind(values)]
        return any(each in beyond for each in takers if each is not gate.operation)

    def _gate_name(self, gate: "_Gate") -> str:
        """The module that is the gate, else the place of the multiplication."""
        operation = gate.operation
        x, y = operation.inputs[1 - gate.values], operation.outputs[0]
        calls = [call for call in self.recorder.calls if call.module == operation.module]
        if len(calls) == 1 and operation.module != self.block and calls[0].x is x and calls[0].y is y:
            return operation.module
        return str(operation.place)

    def _named(self, value: Value) -> str | None:
        """The last module within the block whose output a value is, if it is called once in the block."""
        names = [call.module for call in self.recorder.calls]
        giving = [call for call in self.recorder.calls if call.y is value and names.count(call.module) == 1]
        making = [call for call in giving if call.x is not value] or giving  # an identity made nothing
        return making[-1].module if making else None

    def _is_activated(self, total: Value) -> bool:
        """Whether an activation function is between the sum and the output."""
        after = [value for value in _way_back(self.output) if value is not total]
        return any(value.operation and value.operation.name in _ACTIVATIONS for value in after)

    def _values_name(self, values: Value) -> str | None:
        """The module that gives a gate's values, maybe in another shape."""
        value = values
        while (name := self._named(value)) is None:
            if value.operation is None or value.operation.name not in _VIEWS:
                return None
            value = value.operation.inputs[0]
        one_each = values.tensor if value is values else values.tensor[:, :, 0, 0]
        return name if torch.equal(value.tensor.flatten(), one_each.flatten()) else None

    def _told(self, value: Value, place: str | None = None) -> str:
        """A value in words."""
        if value.operation is None:
            return value.name
        return self._named(value) or place or f"`{value.operation.name}` in {value.operation.module}"

    def _module_value(self, pattern: str, what: str) -> Value:
        if pattern == INPUT:
            return next(value for value in _behind(self.output) if value.name == "input 0")
        below = {call.module.removeprefix(f"{self.block}."): call.y for call in self.recorder.calls}
        found = [value for name, value in below.items() if fnmatchcase(name, pattern) and value is not None]
        if len(found) != 1:
            known = ", ".join(name for name in below if name != self.block)
            raise UsageError(
                f"block `{self.block}` has {len(found)} modules `{pattern}` for its {what}; expected one of {known}"
            )
        return found[0]


def _is_among(pattern: str, modules: Sequence[str]) -> bool:
    return pattern == INPUT or any(fnmatchcase(name, pattern) for name in modules)


@dataclass(frozen=True, eq=False)
class _Gate:
    """A multiplication of a map by values that depend on the images.

    Args:
        values: which operand those are.
        kind: "channel", "spatial" or "mixed".
    """

    operation: Operation
    values: int
    kind: str


def _gate(operation: Operation | None) -> _Gate | None:
    if operation is None or _kind(operation) != MULTIPLY or operation.place is None:
        return None
    if len(operation.inputs) != 2 or len(_traced(operation)) != 2 or _bent(operation) is not None:
        return None
    whole = operation.outputs[0].tensor
    if whole.ndim != 4:
        return None
    kinds = [_kind_of_values(value.tensor, whole) for value in operation.inputs]
    is_map = [value.tensor.shape == whole.shape for value in operation.inputs]
    if all(is_map):
        spread = [_is_spread(value) for value in operation.inputs]
        constant = [kind == "channel" for kind in kinds]
        bounded = [bool(value.tensor.min() >= 0 and value.tensor.max() <= 1) for value in operation.inputs]
        for told in (spread, constant, bounded):
            if sum(told) == 1 and kinds[told.index(True)]:
                return _Gate(operation, told.index(True), kinds[told.index(True)])
        return None
    if not any(is_map):
        return None
    values = is_map.index(False)
    return _Gate(operation, values, kinds[values]) if kinds[values] else None


def _is_spread(value: Value) -> bool:
    """Whether values of one position were spread over all, as by `expand_as`, in a map of several."""
    while (operation := value.operation) is not None and len(_traced(operation)) == 1:
        before = _traced(operation)[0]
        if before.tensor.numel() < value.tensor.numel() and operation.name in _SPREADING:
            return before.tensor.shape[2:] in ((), (1, 1))
        if operation.name not in _CHANNELWISE | _VIEWS:
            return False
        value = before
    return False


def _unknown_at_end(branch: Value) -> str:
    """What gives a branch that may be a gate, in words; empty where a layer does, or a gate that is known."""
    value = branch
    while (operation := value.operation) is not None:
        traced, gate, bent = _traced(operation), _gate(operation), _bent(operation)
        if _kind(operation) == ADD:
            if any(_gate(_followed(each).operation) for each in traced):
                return "what a gate multiplies is added to another map before the branch's end"
            return next(filter(None, map(_unknown_at_end, traced)), "")
        if gate is not None and value is not branch:
            return "what multiplies the branch at its end has another shape than (N, C, 1, 1), and may be a gate"
        if bent is not None:
            value = bent
        elif _kind(operation) == CONCATENATE or (operation.name in _WEIGHTED and len(traced) == 1):
            return ""
        elif len(traced) > 1:
            return f"`{operation.name}` at its branch's end joins values that depend on the images, and may be a gate"
        else:
            value = traced[0]
    return ""


def _unknown_behind(branch: Value) -> str:
    """An operation within a branch that may be a gate, in words; empty where there is none."""
    for operation in _operations_behind(branch):
        if len(_traced(operation)) < 2 or _kind(operation) in (ADD, CONCATENATE) or _bent(operation) is not None:
            continue
        if (gate := _gate(operation)) is None or gate.kind in ("channel", "mixed"):
            return f"`{operation.name}` within its branch joins values that depend on the images, and may be a gate"
    return ""


def _kind_of_values(values: torch.Tensor, whole: torch.Tensor) -> str:
    """What values differ by that a map is multiplied by; empty where they are one an image."""
    images, channels, *_ = whole.shape
    if values.ndim != 4 or values.shape[0] != images:
        return ""
    if values.shape[1] == channels:
        return "channel" if torch.equal(values, values[:, :, :1, :1].expand_as(values)) else "mixed"
    return "spatial" if values.shape[1] == 1 and values.shape[2:] != (1, 1) else ""


def _kind(operation: Operation | None) -> str | None:
    """Whether an operation adds, multiplies or concatenates several values that depend on the images."""
    if operation is None or len(_traced(operation)) < 2:
        return None
    return operation.name if operation.name in (ADD, MULTIPLY, CONCATENATE) else None


def _traced(operation: Operation) -> list[Value]:
    """What an operation is given that depends on the images; of what it takes a shape or a type from, nothing."""
    given = operation.inputs[:1] if operation.name in _AS_ANOTHER else operation.inputs
    return _distinct(value for value in given if value.traced)


def _distinct(values) -> list[Value]:
    return list({id(value): value for value in values}.values())


def _way_back(value: Value) -> Iterator[Value]:
    """A value, and those that it is made of by functions that keep channels and positions apart."""
    yield value
    while (before := _before(value)) is not None:
        value = before
        yield value


def _before(value: Value) -> Value | None:
    operation = value.operation
    if operation is None:
        return None
    bent = _bent(operation)
    if bent is not None:
        return bent
    traced = _traced(operation)
    apart = len(traced) == 1 and operation.name in _CHANNELWISE and traced[0].tensor.shape == value.tensor.shape
    return traced[0] if apart else None


def _bent(operation: Operation) -> Value | None:
    """The map that an operation multiplies by a function of itself, position by position, as SiLU does."""
    if _kind(operation) != MULTIPLY or len(operation.inputs) != 2:
        return None
    for value, other in (operation.inputs, operation.inputs[::-1]):
        if any(each is value for each in _way_back(other)):
            return value
    return None


def _followed(value: Value) -> Value:
    """The first of the values that a value is made of by functions that keep channels and positions apart."""
    *_, first = _way_back(value)
    return first


def _behind(value: Value) -> Iterator[Value]:
    """All values that a value depends on, itself among them."""
    seen, waiting = set(), [value]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += each.operation.inputs if each.operation else []


def _operations_behind(value: Value) -> list[Operation]:
    """All operations that a value depends on and that depend on the block's input."""
    found = {id(each.operation): each.operation for each in _behind(value) if each.operation and each.traced}
    return list(found.values())


def _may_be_shortcut(own: Sequence[Operation], behind: Sequence[Operation]) -> bool:
    """Whether a value is the block's input but for at most one convolution, and without functions of its own that bend.

    Args:
        own: the operations that the other operand does not depend on.
        behind: all.
    """
    weighted = sum(each.name in _WEIGHTED for each in behind)
    joined = any(_kind(each) in (ADD, MULTIPLY) for each in behind)
    return weighted <= 1 and not joined and all(each.name in _STRAIGHT for each in own)


def _with_outer(name: str) -> list[str]:
    """A module's name and those of the modules that hold it: a.b.c, a.b, a."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


def verified(network: nn.Module, found: Anatomy, arguments: tuple, output: torch.Tensor) -> Anatomy:
    """The anatomy if interventions show it to be right; else without a site, and why.

    Args:
        arguments: of the block's call.
        output: what it gave.
    """
    site = found.site
    if site is None:
        return found
    block = network.get_submodule(site.block)

    def run(*changes: tuple[str, Change]) -> torch.Tensor:
        with aside(), at_places(network, changes):
            return block(*copied(arguments))

    try:
        if not _close(run(), output):
            raise _Unknown("it gives another output for the same input")
        if site.dropped_at == AT_BRANCH:
            _check_branch(run, site)
        elif site.dropped_at == AT_PART:
            _check_part(run, site, output)
        if site.gate is not None:
            _check_gate(run, site)
    except (_Unknown, TypeError, RuntimeError) as error:  # whatever a block that cannot be run alone raises
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Anatomy(site.block, None, gate_status=NOT_FOUND, why=why)
    return found


def copied(arguments: tuple) -> tuple:
    """Arguments of a call with copies of their tensors: a block may overwrite them, or add to a list of them."""
    return tree_map(lambda each: each.clone() if isinstance(each, torch.Tensor) else each, arguments)


def _close(x: torch.Tensor, y: torch.Tensor) -> bool:
    return torch.allclose(x, y, rtol=1e-5, atol=1e-6 * float(y.abs().max().clamp(min=1e-30)))


def _zeroed(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x)


def _check_branch(run: Callable, site: Site) -> None:
    """Without its branch the block gives what follows the sum of the shortcut alone; without half of it, half of it."""
    seen: list[torch.Tensor] = []

    def look(total: torch.Tensor) -> None:
        seen.append(total.clone())

    dropped = run((site.branch, _zeroed), (str(site.total), look))
    shortcut = seen.pop()
    alone = run((str(site.total), lambda total: shortcut))
    if not _close(dropped, alone):
        raise _Unknown("with its branch dropped it does not give its shortcut alone")
    intact, half = run(), run((site.branch, _without_even))
    if not (_close(half[:, 1::2], intact[:, 1::2]) and _close(half[:, ::2], alone[:, ::2])):
        raise _Unknown("what follows its sum mixes channels")


def _without_even(x: torch.Tensor) -> torch.Tensor:
    """Every other channel of maps."""
    kept = torch.arange(x.shape[1], device=x.device) % 2
    return x * kept[:, None, None]


def _check_part(run: Callable, site: Site, output: torch.Tensor) -> None:
    dropped = run((site.branch, _zeroed))
    changed = (dropped != output).flatten(2).any(2).any(0)
    if int(changed.sum()) > site.channels:
        raise _Unknown("with its branch dropped other channels change than those that it is concatenated to")


def _check_gate(run: Callable, site: Site) -> None:
    """With its values 1 the gate gives what it multiplies."""
    given: list[torch.Tensor] = []
    place = str(site.ungated).rpartition(".")[0]
    run(
        (str(site.values), torch.ones_like),
        (str(site.ungated), lambda x: given.append(x.clone())),
        (place, lambda y: given.append(y.clone())),
    )
    if len(given) != 2 or not _close(given[1], given[0]):
        raise _Unknown("its gate gives something else than its input times its values")
