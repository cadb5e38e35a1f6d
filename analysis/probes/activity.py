"""The activity of units at the taps of blocks: the mean over positions, one row an image."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..anatomy.hooks import aside, capture, channel_means, find_module, hooked, layout_of
from ..anatomy.operations import at_places
from ..anatomy.sites import Site, find_sites, gate_values
from ..choices import ACTIVITIES, SIGNED, TAPS
from ..errors import UsageError, unknown
from ..recording import Kept
from .probe import Moment

"""After the shortcut and the last ReLU; before the gate; the gate's value; after it; before the last ReLU."""


class Activity:
    """Keeps BLOCK.TAP, (units,): the mean over positions of each unit, in float32 whatever the autocast.

    Of signed taps it is the mean of the positive part. Of outputs `BLOCK.output.minimum` is kept as well, the least
    value of the maps: a mean can hide a negative one.

    Args:
        network: any.
        units: of each block's output, by name in the network's order.
        taps: of `TAPS`, in all blocks.
        rectify: take the positive part of outputs too.
        shape: of one image (3, H, W); by the network's preprocessing where not given.
        activities: of `gelens.choices.ACTIVITIES`, what the means are kept in: "float16" takes half the space, is off
            by up to 2⁻¹¹ of a value, or 3·10⁻⁸ where that is more (below 6·10⁻⁵), and has none above 65504, which are
            infinite and refused.

    Raises:
        UsageError: activities kept in something else, an unknown tap, or one that a block does not have, such as the
            gate of a block without one.
    """

    def __init__(
        self,
        network: nn.Module,
        units: Mapping[str, int],
        taps: Sequence[str] = ("output",),
        rectify: bool = False,
        shape: Sequence[int] | None = None,
        activities: str = ACTIVITIES[0],
    ):
        if activities not in ACTIVITIES:
            raise unknown("form to keep activities in", activities, ACTIVITIES)
        if isinstance(taps, str):
            raise UsageError(f'Expected argument `taps` to be a list of names, but got {taps!r}: write ["{taps}"]')
        for tap in taps:
            if tap not in TAPS:
                raise unknown("tap", tap, TAPS)
        self.network, self.units, self.rectify = network, dict(units), rectify
        self._own = network  # whose gates are computed in float32, which a copy's weights may not be
        self.activities = activities
        self.chosen = [tap for tap in TAPS if tap in taps]
        self.layout = layout_of(network)
        self.sites: dict[str, Site] = {}
        if set(taps) - {"output"}:
            self.sites = {site.block: site for site in find_sites(network, list(units), shape)}
            self._check_gates()
            self._check_sums()
        self._seen: dict[str, torch.Tensor] = {}

    def _check_gates(self) -> None:
        for tap in [each for each in self.chosen if each in ("gate", "gated")]:
            for block, site in self.sites.items():
                if site.gate is None:
                    name = type(self.network).__name__
                    raise UsageError(
                        f"block `{block}` of {name} has no gate, so no tap `{tap}`; it has branch and output"
                    )

    def _check_sums(self) -> None:
        """A block that ends in no activation function has no sum that is not its output."""
        for block, site in self.sites.items() if "sum" in self.chosen else ():
            if not site.activated:
                raise UsageError(
                    f"block `{block}` of {type(self.network).__name__} ends in no activation function after a sum, so "
                    f"no tap `sum`; it has the tap output"
                )

    def taps(self) -> dict[str, list[str]]:
        return {block: list(self.chosen) for block in self.units}

    def arrays(self) -> list[Kept]:
        kept = []
        for block in self.units:
            kept += [Kept(f"{block}.{tap}", (self._width(block, tap),), self.activities) for tap in self.chosen]
            if self._notes_minimum:
                kept.append(Kept(f"{block}.output.minimum", ()))
        return kept

    def _width(self, block: str, tap: str) -> int:
        return self.units[block] if tap in ("output", "sum") else self.sites[block].channels

    @property
    def _notes_minimum(self) -> bool:
        return "output" in self.chosen and not self.rectify

    def settings(self) -> dict:
        return {"rectified": self.rectify, "positive_part": [tap for tap in self.chosen if tap in SIGNED]}

    def look_at(self, network: nn.Module) -> None:
        self.network = network

    @contextmanager
    def watch(self, batch) -> Iterator[None]:
        self._seen.clear()
        entries = [(find_module(self.network, site.entry), self._gate(site)) for site in self.sites.values()]
        places = [
            (str(place), self._keeping(f"{block}.{tap}"))
            for block, site in self.sites.items()
            for tap, place in (("branch", site.ungated or site.branch), ("gated", site.branch), ("sum", site.total))
            if tap in self.chosen
        ]
        outputs = list(self.units) if "output" in self.chosen else []
        with (
            capture(self.network, outputs, self._output),
            hooked(before=entries if "gate" in self.chosen else []),
            at_places(self.network, places),
        ):
            yield

    def _output(self, block: str, maps: torch.Tensor) -> torch.Tensor:
        if self._notes_minimum:
            self._seen[f"{block}.output.minimum"] = maps.amin(tuple(range(1, maps.ndim))).float()
        self._seen[f"{block}.output"] = channel_means(maps.clamp(min=0) if self.rectify else maps, self.layout)
        return self._seen[f"{block}.output"]

    def _gate(self, site: Site):
        def hook(module, args):
            with aside():
                self._seen[f"{site.block}.gate"] = gate_values(self._own, site, args[0])

        return hook

    def _keeping(self, name: str):
        def keep(maps: torch.Tensor) -> None:
            self._seen[name] = channel_means(maps.clamp(min=0), self.layout)

        return keep

    def rows(self, moment: Moment) -> dict[str, torch.Tensor]:
        return {kept.name: self._seen[kept.name].to(getattr(torch, kept.dtype)) for kept in self.arrays()}
