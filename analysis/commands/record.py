"""`gelens record`: what networks do with every image, kept in a folder that anyone can open."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..analyses.inputs import Inputs
from ..analyses.requests import Request, record_requests
from ..anatomy.sites import resolve_blocks
from ..choices import ACTIVITIES
from ..recording import Recording
from ..sweep.passing import SweepOptions


@dataclass(frozen=True)
class Record:
    """A recording of blocks' taps.

    Args:
        blocks: module names, instead of a stage.
        taps: of `gelens.probes.activity.TAPS`.
        activities: what activities are kept in, of `gelens.choices.ACTIVITIES`.
    """

    inputs: Inputs
    options: SweepOptions
    stage: int | None = None
    blocks: Sequence[str] = ()
    taps: Sequence[str] = ("output",)
    rectify: bool = False
    activities: str = ACTIVITIES[0]

    def run(self, out: Path, resume: bool = False) -> Recording:
        """Make the recording, or go on with it."""
        labelled, images = self.inputs.load()
        requests = {
            label: Request(
                network,
                resolve_blocks(network, self.stage, self.blocks),
                self.taps,
                self.rectify,
                activities=self.activities,
            )
            for label, network in labelled.items()
        }
        return record_requests(requests, images, self.options, out, resume)
