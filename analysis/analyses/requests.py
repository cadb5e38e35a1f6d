"""What is asked of networks, recorded in one reading of the images."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..anatomy.hooks import attempt, logits_of
from ..anatomy.sites import block_depths, example_images, signed_blocks
from ..choices import ACTIVITIES
from ..data import ImageData, adapted, checked, preprocessing_for
from ..data.adapting import known_classes, known_indices, known_labels
from ..data.contents import sampled_contents
from ..errors import RunError, UsageError
from ..networks.facts import network_facts
from ..networks.modes import evaluating
from ..networks.weights import network_card
from ..probes.activity import Activity
from ..probes.predictions import Predictions
from ..probes.probe import Probe
from ..recording import Recording
from ..results.run import versions
from ..subjects import image_shape, order_unknown, outputs_and_units
from ..sweep.passing import Subject, SweepOptions
from ..sweep.passing import record as run_pass

log = logging.getLogger(__name__)


@dataclass
class Request:
    """What to keep of one network, beside its predictions where its outputs are the data's classes.

    Args:
        network: in any mode.
        blocks: whose units' activity is kept.
        taps: of those blocks, of `gelens.probes.activity.TAPS`.
        rectify: take the positive part of outputs.
        activities: what those activities are kept in, of `gelens.choices.ACTIVITIES`.
        probes: others, or what makes one of the network and the shape (3, H, W) of an image.
        apart_from: contents (`Recording.contents`) of other images that what is asked for was found on: a pass that
            would measure them is refused.
    """

    network: nn.Module
    blocks: Sequence[str] = ()
    taps: Sequence[str] = ("output",)
    rectify: bool = False
    activities: str = ACTIVITIES[0]
    probes: Sequence[Probe | Callable[[nn.Module, tuple[int, ...]], Probe]] = ()
    apart_from: frozenset[str] = frozenset()

    def with_(self, other: "Request") -> "Request":
        """What this and another request ask of one network; only one of them of its activity."""
        first = self if self.blocks else other
        both = [*self.probes, *other.probes]
        return replace(first, probes=both, apart_from=self.apart_from | other.apart_from)

    @property
    def needs_outputs(self) -> bool:
        """Whether labels have to be numbers of outputs: not where the activity of units is all that is asked for."""
        return not self.blocks or bool(self.probes)


def record_requests(
    requests: Mapping[str, Request],
    data,
    options: SweepOptions | None = None,
    folder: Path | str | None = None,
    resume: bool = False,
) -> Recording:
    """Record all that is requested of all networks in one reading of the data.

    In the processes of an initialised process group every one must call; each reads a share of the data, and all have
    the whole recording in the end (`SweepOptions.together`).

    Args:
        requests: by label.
        data: images whose labels are as the networks have them (`gelens.subjects.fit_classes`).
        folder: where the recording goes; None keeps it in memory.
        resume: go on with an unfinished one.

    Raises:
        UsageError: a block that is not there, data that fits no network, classes that do not fit.
        RunError: an image that cannot be read, or no space for the recording.
    """
    options = options or SweepOptions()
    options.check()
    data = checked(data, progress=options.progress)
    if len(known_indices(data)) == 0:
        raise RunError(f"no images in {data}")
    labels = known_labels(data)
    if labels is None and any(request.blocks for request in requests.values()):
        kind = type(getattr(data, "dataset", data)).__name__
        text = "the labels of %s are taken as they are read; an attribute `targets`, a whole number for every image, "
        log.info(text + "tells them before (and `classes` their names)", kind)
    subjects = [_subject(label, request, data, labels) for label, request in requests.items()]
    facts = {
        "classes": _class_names(data, labels, subjects),
        "depths": {label: _depths(request) for label, request in requests.items()},
        "data": description(data),
        "versions": versions(),
        "answers": {each.label: _answers(each.network, image_shape(data, each.preprocessing)) for each in subjects},
        "sample": {} if folder is None else sampled_contents(data),
    }
    return run_pass(subjects, data, options, folder, resume, facts)


def _subject(label: str, request: Request, data, labels: np.ndarray | None) -> Subject:
    network, images = request.network, adapted(data)
    preprocessing = preprocessing_for(network, images, name=label)
    shape = image_shape(images, preprocessing)
    outputs, units = outputs_and_units(network, request.blocks, shape)
    told = _has_outputs_for(label, data, labels, outputs, request.needs_outputs)
    if told and (why := order_unknown(network, data, outputs)):
        if request.needs_outputs:
            raise UsageError(
                f"nothing tells which output of {label} is which class: {why}. A factory can say it "
                f"(network.class_names = [...], in the order of outputs); --classes-by-position "
                f"(classes_by_position=True) takes class k for output k"
            )
        text = "the accuracy of %s is not reported: %s; --classes-by-position (classes_by_position=True) takes class k "
        log.warning(text + "for output k", label, why)
        told = False
    probes: list[Probe] = [Predictions(outputs)] if told else []
    if request.blocks:
        if "output" in request.taps and not request.rectify:
            _refuse_signed(network, request.blocks, shape)
        chosen = {block: units[block] for block in request.blocks}
        probes.append(Activity(network, chosen, request.taps, request.rectify, shape, request.activities))
    card = network_card(network, preprocessing) | {"facts": network_facts(network, shape)}
    probes += [each if isinstance(each, Probe) else each(network, shape) for each in request.probes]
    return Subject(label, network, preprocessing, probes, card, request.apart_from)


def _answers(network: nn.Module, shape: tuple[int, ...]) -> list[float]:
    """Some logits for images of noise, by which a network is known whatever makes it what it is; finite ones."""
    with evaluating(network), torch.inference_mode():
        logits = logits_of(attempt(network, example_images(network, shape))).float()[:, :8]
    return logits.flatten().tolist() if bool(logits.isfinite().all()) else []


def _has_outputs_for(label: str, data, labels: np.ndarray | None, outputs: int, needed: bool) -> bool:
    """Whether every label is the number of an output, so that what the network gets right can be told."""
    if labels is None:
        return True
    if labels.min() < 0:
        position = int(labels.argmin())
        raise UsageError(f"image {position} of the data has the label {labels[position]}; expected 0 or more")
    classes = int(labels.max()) + 1
    if classes > outputs:
        if needed:
            raise UsageError(
                f"`{label}` has {outputs} outputs, but the data has labels up to {classes - 1}: expected images of the "
                f"classes that it was trained on, or weights trained on these"
            )
        text = "%s has %d outputs, and the data labels up to %d: its accuracy is not reported, what its units do is"
        log.warning(text, label, outputs, classes - 1)
        return False
    named = len(known_classes(data)) or classes
    if named < outputs:
        text = "%s has %d outputs, the data %d classes: label k is compared with output k"
        log.warning(text, label, outputs, named)
    return True


def _refuse_signed(network: nn.Module, blocks: Sequence[str], shape: tuple[int, ...]) -> None:
    """Tell before the pass, not after it, that a block's activities are signed, and which layer's would do."""
    for block, (minimum, instead) in signed_blocks(network, blocks, shape).items():
        way_out = f"`{instead}` follows it and is not; " if instead else ""
        raise UsageError(
            f"layer `{block}` has negative activities (minimum {minimum:.4g} on noise): the index is defined for "
            f"activities ≥ 0; {way_out}--rectify (rectify=True) takes their positive part"
        )


def _depths(request: Request) -> dict[str, int]:
    return dict(zip(request.blocks, block_depths(request.network, list(request.blocks)), strict=True))


def _class_names(data, labels: np.ndarray | None, subjects: Sequence[Subject]) -> list[str]:
    """A name for each label; its number where the data has none."""
    names = known_classes(data)
    number = int(labels.max()) + 1 if labels is not None else 0
    return names + [str(label) for label in range(len(names), number)]


def description(data) -> dict:
    """What run.json and recording.json say of the images."""
    if not isinstance(data, ImageData):
        return {"name": type(getattr(data, "dataset", data)).__name__, "images": len(known_indices(data))}
    described: dict = {
        "name": str(data),
        "title": data.title,
        "note": data.note,
        "fingerprint": data.fingerprint,
        "parts": data.parts,
    }
    described |= {"classes": data.classes, "images": len(data), "left_out": len(data.skipped)}
    return described | {"skipped": data.skipped}


def shared_images(first, second) -> int:
    """How many images two data sets share, as far as their names tell; foreign ones only if they are the same."""
    if not (isinstance(first, ImageData) and isinstance(second, ImageData)):
        return len(known_indices(first)) if first is second else 0
    if str(first) != str(second):
        return 0
    return len(set(first.identifiers) & set(second.identifiers))
