"""`gelens evaluate`: top-1 and top-5 error of networks, and table 1."""

from dataclasses import dataclass
from pathlib import Path

from ..analyses.inputs import Inputs
from ..analyses.measuring import Measuring
from ..analyses.requests import Request
from ..results.run import Run


@dataclass(frozen=True)
class Evaluate:
    """Errors of networks."""

    inputs: Inputs
    measuring: Measuring

    def arguments(self) -> dict:
        return self.inputs.as_arguments() | self.measuring.arguments()

    def run(self, run: Run) -> list[Path]:
        labelled = self.inputs.load_networks()
        images = self.inputs.load_data(labelled)
        requests = {label: Request(network) for label, network in labelled.items()}
        self.measuring.measure(run, requests, images, self.inputs.seed)
        return self.measuring.finish(run)
