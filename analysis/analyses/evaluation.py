"""Errors of networks, and table 1."""

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from .analysis import Analysis, Results


@dataclass(frozen=True, kw_only=True)
class Evaluation(Analysis):
    """Top-1 and top-5 error, parameters and multiply-accumulates (table 1).

    A RUN is a folder with a recording; no network is run.
    """

    name: ClassVar = "evaluate"
    example: ClassVar = "gelens evaluate thin_resnet50@cifar10 thin_resnet50_se@cifar10 --data cifar10"
    table: ClassVar = "evaluation"
    claims: ClassVar = ("evaluation_gap_trainings",)
    figure: ClassVar = "table1_pooling"

    def requests(self, networks, images, others=None):
        from .requests import Request

        return {label: Request(network) for label, network in networks.items()}

    def results(self, recording) -> Results:
        from .run_folder import accuracy_of

        results = accuracy_of(recording)
        if results["evaluation.csv"]["top1_error"].isna().all():
            raise UsageError("the recording has no predictions: `gelens evaluate NETWORK…` does")
        return results
