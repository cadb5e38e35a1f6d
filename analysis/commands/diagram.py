"""`gelens diagram`: figure 4, the operators as diagrams, from the modules themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import figures
from ..anatomy.sites import resolve_blocks
from ..errors import UsageError
from ..names import pretty
from ..networks.gather_excite import GatherExcite
from ..networks.operators import operator_name, operator_table
from ..results.run import Run
from ..subjects import label_networks


@dataclass(frozen=True)
class Diagram:
    """The paper's operators, or those of given networks' first stage-four block."""

    networks: Sequence[str] = ()

    def arguments(self) -> dict:
        return {"networks": list(self.networks)}

    def run(self, run: Run) -> list[Path]:
        write_operators(run, self.networks)
        return figures.draw(run.folder)


def write_operators(run: Run, networks: Sequence[str] = ()) -> None:
    """Write `operators.csv`, the steps of each operator: the paper's where no networks are named.

    Raises:
        UsageError: a network without a Gather-Excite operator, or maps of different sizes.
    """
    modules: dict[str, GatherExcite] = {}
    sizes: set[tuple[int, int]] = set()
    for label, network in label_networks(networks).items():
        block = resolve_blocks(network)[0]
        gate = getattr(network.get_submodule(block), "se", None)
        if not isinstance(gate, GatherExcite):
            raise UsageError(f"`{label}` has no Gather-Excite operator to draw")
        modules[f"{pretty(label.partition(':')[0])}\n{operator_name(gate)}"] = gate
        sizes.add(gate.size or (14, 14))
    if len(sizes) > 1:
        raise UsageError(f"these networks' maps differ in size ({sizes}); draw them one at a time")
    run.write_table("operators.csv", operator_table(modules, sizes.pop()) if modules else operator_table())
