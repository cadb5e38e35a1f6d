"""What dropping maps needs to know from other images than those that are measured."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..ablation.importance import MEAN_SCORES, Prior
from ..data import ImageData, adapted, load_data, preprocessing_for
from ..errors import UsageError
from ..probes.branch_means import BranchMeans, priors
from ..probes.dropping import Dropping
from ..subjects import image_shape
from ..sweep.passing import SweepOptions
from .requests import Request, record_requests, shared_images, shown_in


def with_priors(
    requests: Mapping[str, Request],
    data,
    options: SweepOptions | None = None,
    means_from=None,
    selectivity: pd.DataFrame | None = None,
    folder: Path | None = None,
) -> dict[str, Request]:
    """The requests, with what their `dropping` needs to know from other images than those that are to be measured.

    Args:
        folder: where the other images' branches are recorded; an unfinished recording there goes on.

    Raises:
        UsageError: they need something that is not given, or the images are the same ones.
    """
    wanting = {label: request for label, request in requests.items() if request.dropping.needs_means()}
    means, shown = _branch_means(wanting, data, options, means_from, folder) if wanting else ({}, frozenset())
    done = {}
    for label, request in requests.items():
        known = dict(means.get(label, {}))
        if "selectivity" in request.dropping.scores:
            for block, index in _indices_of(label, request, selectivity).items():
                prior = known.get(block, Prior())
                known[block] = replace(prior, scores={**prior.scores, "selectivity": index})
        apart_from = request.apart_from | (shown if label in means else frozenset())
        done[label] = replace(request, dropping=replace(request.dropping, priors=known), apart_from=apart_from)
    return done


def _indices_of(label: str, request: Request, selectivity: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """By block, the index of each unit in a selectivity table."""
    if selectivity is None:
        raise UsageError(
            "the score `selectivity` needs a selectivity table of other images; on the command line "
            "--selectivity-from RUN"
        )
    mine = selectivity[selectivity["network"] == label]
    indices = {block: mine.loc[mine["block"] == block, "csi"].to_numpy() for block in request.pruning}
    for block, index in indices.items():
        if not len(index):
            raise UsageError(f"the selectivity table has no units of `{block}` of {label}")
    return indices


def _branch_means(
    requests: Mapping[str, Request], data, options: SweepOptions | None, means_from, folder: Path | None
) -> tuple[dict[str, dict[str, Prior]], frozenset[str]]:
    """By label and block, what other images tell; and what those images show."""
    if means_from is None:
        raise UsageError(
            "the mean fill, and one order for all images, need other images for their means, such as digits#train: "
            "means_from, on the command line --means-from"
        )
    others = load_data(means_from)
    if isinstance(others, ImageData):
        others = others.as_outputs()  # whose labels nobody reads
    if shared := shared_images(others, data):
        raise UsageError(f"{shared} images of {others}, which means are taken from, are measured; expected others")
    measured = {}
    for label, request in requests.items():
        shape = image_shape(others, preprocessing_for(request.network, adapted(others), name=label))
        branches = BranchMeans(request.network, request.pruning, _mean_scores(request.dropping), shape)
        measured[label] = Request(request.network, probes=[branches])
    options = options and replace(options, shard=None)  # means are of all of these images, whatever is measured then
    recording = record_requests(measured, others, options, folder, resume=True)
    found = {label: priors(recording, label, _mean_scores(request.dropping)) for label, request in requests.items()}
    return found, shown_in(recording)


def _mean_scores(dropping: Dropping) -> list[str]:
    """The scores whose mean over other images is needed."""
    return [] if dropping.per_image else [score for score in dropping.scores if score in MEAN_SCORES]
