"""Class selectivity of a network over its training."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from .. import figures, processes
from ..errors import RunError, UsageError
from ..networks.checkpoint_series import checkpoint_files, stem_of
from ..networks.references import parse
from ..networks.weights import weights_file_hash
from ..results.following import open_run
from ..results.run import Run, read_table
from .run_folder import Recorded
from .running import OnNetworks
from .selectivity import Selectivity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelectivityOverTraining:
    """Class selectivity of a network at every checkpoint of a training: `selectivity_epochs.csv` and its figure.

    Every checkpoint has a run of its own in `checkpoints/`, which is not measured again once it is finished.

    Args:
        each: what is measured at every checkpoint, of one network without weights.
        folder: of checkpoints with epochs in their names.
    """

    each: OnNetworks
    folder: Path

    def __post_init__(self):
        networks = list(self.each.inputs.networks)
        if len(networks) > 1 or parse(networks[0]).weights:
            raise UsageError(f"--checkpoints takes one NETWORK without @WEIGHTS, but got {' '.join(networks)}")
        if self.each.measuring.options.shard:
            raise UsageError("--checkpoints takes no --shard: name the checkpoints as networks, or use --processes")
        if reference := self._analysis.reference:
            raise UsageError(f"--checkpoints compares nothing, so takes no --reference, but got {reference}")

    @property
    def _analysis(self) -> Selectivity:
        assert isinstance(self.each.analysis, Selectivity)
        return self.each.analysis

    def arguments(self) -> dict:
        return self.each.arguments() | {"checkpoints": str(self.folder)}

    def is_whole(self, run: Run) -> bool:
        """Whether a finished run over a training's checkpoints has all that there are by now."""
        return set(read_table(run.folder, "selectivity_epochs.csv")["epoch"]) == set(checkpoint_files(self.folder))

    def run(self, run: Run) -> list[Path]:
        """Measure what is not measured yet, and write the tables.

        Raises:
            Recorded: that is all for this process to do.
        """
        (network,) = self.each.inputs.networks
        label = parse(network).label or parse(network).short
        tables, others, data = [], [], {}
        for epoch, path in checkpoint_files(self.folder).items():
            part = self._measure(run, network, epoch, path)
            if not processes.is_first():
                continue
            error = read_table(part.folder, "evaluation.csv")["top1_error"].iloc[0]
            table = read_table(part.folder, "selectivity_blocks.csv").assign(network=label, top1_error=error)
            table.insert(1, "epoch", epoch)
            tables.append(table)
            if self._analysis.indices:
                means = read_table(part.folder, "selectivity_indices.csv").groupby(["block", "index"], sort=False)
                others.append(means[["value", "null"]].mean().reset_index().assign(network=label, epoch=epoch))
            run.record["networks"] |= part.record["networks"]
            data = part.record["data"]
        if not processes.is_first():
            raise Recorded
        run.save(data=data)
        run.write_table("selectivity_epochs.csv", pd.concat(tables, ignore_index=True))
        if others:
            run.write_table("selectivity_indices_epochs.csv", pd.concat(others, ignore_index=True))
        return figures.draw(run.folder)

    def _measure(self, run: Run, network: str, epoch: float, path: Path) -> Run:
        stem = stem_of(path.name)
        inputs = replace(self.each.inputs, networks={stem: str(parse(network).with_weights(path))})
        arguments = run.record["arguments"] | {"checkpoint": path.name, "weights": weights_file_hash(path)}
        with open_run(run.path("checkpoints") / stem, "selectivity", arguments, resume=True) as part:
            if not part.finished:
                log.info("epoch %g: %s", epoch, path.name)
                try:
                    replace(self.each, inputs=inputs).run(part)
                except Recorded:
                    return part
                except (UsageError, RunError):
                    part.discard_if_empty()
                    raise
                part.finish()
        return part
