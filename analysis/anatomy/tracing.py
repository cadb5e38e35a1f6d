"""What follows a block of a network, as a module of its own, by torch.fx."""

import logging
from collections.abc import Callable

from torch import fx, nn

log = logging.getLogger(__name__)


def rest_after(network: nn.Module, block: str) -> fx.GraphModule | None:
    """What follows a block: from the block's output, and the network's own input where it is needed, to the output.

    Only the modules that hold the block are looked into; the rest may do inside what cannot be traced. Parameters are
    shared with the network.

    Returns:
        A module that takes the block's output and then all inputs of the network; None where torch.fx cannot trace
        the network, or the block is called more than once.
    """
    return _cut(network, block, lambda call: call)


def rest_from(network: nn.Module, block: str) -> fx.GraphModule | None:
    """The block and what follows it, from the block's input; otherwise as `rest_after`."""
    return _cut(network, block, lambda call: call.args[0] if len(call.args) == 1 and not call.kwargs else None)


def _cut(network: nn.Module, block: str, where: Callable[[fx.Node], object]) -> fx.GraphModule | None:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return not block.startswith(f"{name}.")

    try:
        graph = Tracer().trace(network)
    except Exception as error:  # a network may branch on its values, unpack shapes …: whatever tracing raises
        log.debug("%s cannot be traced: %s", type(network).__name__, error)
        return None
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == block]
    start = where(calls[0]) if len(calls) == 1 else None
    if not isinstance(start, fx.Node):
        return None
    rest, copies = fx.Graph(), {}
    copies[start] = rest.placeholder("features")
    needed = _ancestors(next(node for node in graph.nodes if node.op == "output"), start)
    for node in graph.nodes:
        if node is not start and (node in needed or node.op == "placeholder"):
            copies[node] = rest.node_copy(node, copies.__getitem__)
    rest.lint()
    return fx.GraphModule(network, rest)


def _ancestors(output: fx.Node, stop: fx.Node) -> set[fx.Node]:
    """All nodes that an output needs, none beyond `stop`."""
    seen, waiting = set(), [output]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            if node is not stop:
                waiting += node.all_input_nodes
    return seen


def without_inputs(rest: fx.GraphModule | None) -> fx.GraphModule | None:
    """The rest, if it needs nothing of the network's input."""
    if rest is None:
        return None
    _, *inputs = [node for node in rest.graph.nodes if node.op == "placeholder"]
    if any(node.users for node in inputs):
        return None
    for node in inputs:
        rest.graph.erase_node(node)
    rest.recompile()
    return rest
