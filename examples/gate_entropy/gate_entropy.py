"""An analysis of another package: how evenly a gate opens, image by image. `pip install` adds `gelens gate-entropy`."""

from dataclasses import dataclass
from typing import ClassVar

from gelens.analyses.analysis import Analysis, OfBlocks, option

NEEDS = ("gate_entropy.csv",)


@dataclass(frozen=True, kw_only=True)
class GateEntropy(OfBlocks, Analysis):
    """How evenly gates open: the entropy of their values over channels, for each image.

    A RUN is a folder with a recording of the tap gate: no network is run then.
    """

    name: ClassVar = "gate-entropy"
    example: ClassVar = "gelens gate-entropy thin_resnet50_se@cifar10 --data cifar10"
    bits: bool = option(False, "In bits, instead of nats.")

    def requests(self, networks, images, others=None):
        from gelens.analyses.requests import Request

        return {label: Request(each, self.blocks_of(each), ("gate",)) for label, each in networks.items()}

    def results(self, recording):
        import numpy as np
        import pandas as pd

        tables = []
        for network in recording.networks:
            for block in recording.blocks(network, "gate"):
                gates = recording.matrix(network, block, "gate").astype(float)
                shares = gates / gates.sum(1, keepdims=True)
                entropy = -np.where(shares > 0, shares * np.log(np.maximum(shares, 1e-300)), 0).sum(1)
                values = entropy / np.log(2) if self.bits else entropy
                where = {"network": network, "block": block, "identifier": recording.images["identifier"]}
                tables.append(pd.DataFrame({**where, "entropy": values}))
        return {"gate_entropy.csv": pd.concat(tables, ignore_index=True)}

    def sentences(self, results, cards):
        means = results["gate_entropy.csv"].groupby(["network", "block"], sort=False)["entropy"].mean()
        return [f"{network}, {block}: entropy {mean:.3f} on average." for (network, block), mean in means.items()]


def pictures(run, look):
    """The distribution of the entropy, a line a block."""
    from gelens.figures.style import panels

    figure, axes = panels(1, 1, look.width or 5, 2.5, [], run.caption())
    for (network, block), rows in run.table("gate_entropy.csv").groupby(["network", "block"], sort=False):
        axes.flat[0].hist(rows["entropy"], bins=20, histtype="step", label=f"{network}, {block}")
    axes.flat[0].set(xlabel="Entropy of the gate", ylabel="Images")
    axes.flat[0].legend(frameon=False)
    yield "fig_gate_entropy", figure
