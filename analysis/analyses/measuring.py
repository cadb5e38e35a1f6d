"""What measuring commands share: a recording in the run's folder, and what run.json says of networks and images."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import processes
from ..data import ImageData, checked, load_data
from ..devices import resolve_device
from ..differences import changes, image_differences
from ..errors import UsageError
from ..networks.preprocessing import preprocessing_of
from ..networks.weights import network_card
from ..recording import Recording, open_recording
from ..recording.format import discard
from ..results.run import Run
from ..subjects import fit_classes
from ..sweep.passing import SweepOptions
from ..tables.evaluation import chance_sentences
from .requests import Request, description, record_requests, shared_images
from .run_folder import IMAGES, RECORDING, Recorded, accuracy_of, contents_of, draw_what_there_is

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measuring:
    """How a command measures: the pass, and whether its recording is kept in the run's folder."""

    options: SweepOptions
    keep: bool = True

    def arguments(self) -> dict:
        """What results depend on."""
        shard = {"shard": str(self.options.shard)} if self.options.shard else {}
        return {"precision": self.options.precision} | shard

    def measure(self, run: Run, requests: Mapping[str, Request], images, seed: int) -> Recording:
        """Record what is requested in the run's folder, and write `evaluation.csv`.

        Raises:
            Recorded: that is all for this process to do.
        """
        for label, request in requests.items():
            add_network(run, label, request)
        described = description(images)
        _check_images(run, described)
        if described.get("skipped"):
            log.warning("%d images that cannot be read are left out; run.json names them", len(described["skipped"]))
        run.save(
            data=described,
            device=str(resolve_device(self.options.device)),
            precision=self.options.precision,
            seed=seed,
        )
        with run.timed("measure"):
            recording = record_requests(requests, images, self.options, run.path(RECORDING), resume=True)
        run.record["data"] |= {"read": len(recording.images)} | contents_of(recording)
        run.record |= {"precision": recording.described["precision"], "made": recording.described.get("made", [])}
        if self.options.shard or not processes.is_first():
            raise Recorded
        accuracy = accuracy_of(recording)
        for name, table in accuracy.items():
            run.write_table(name, table)
        poor = chance_sentences(recording, accuracy["evaluation.csv"])
        for sentence in poor:
            log.warning("%s", sentence)
        run.find(poor)
        return recording

    def finish(self, run: Run, **options) -> list[Path]:
        """Draw what the tables allow, by options of `draw`; let the recording go unless it is to be kept."""
        run.save()
        with run.timed("figures"):
            drawn = draw_what_there_is(run.folder, **options)
        if not self.keep:
            recording = open_recording(run.path(RECORDING))
            run.write_arrays(IMAGES, {"contents": np.array(recording.contents, dtype=str)})
            discard(run.path(RECORDING))
        return drawn


def record_others(
    requests: Mapping[str, Request],
    data,
    images,
    options: SweepOptions,
    folder: Path | None,
    skip_unreadable: bool = False,
) -> Recording:
    """Record what is requested of other images than those measured.

    Args:
        data: the others, a reference.
        images: that are measured.

    Raises:
        UsageError: some of them are the same.
    """
    others = checked(load_data(data), skip_unreadable)
    if shared := shared_images(others, images):
        raise UsageError(f"{shared} images of {others}, which means are taken from, are measured; expected others")
    by_position = isinstance(images, ImageData) and images.by_position
    others = fit_classes([each.network for each in requests.values()], others, by_position)
    if isinstance(others, ImageData):
        others = others.as_outputs()  # what networks get right of them is not asked
    options = replace(options, shard=None)  # of all of these images, whatever is measured then
    return record_requests(requests, others, options, folder, resume=True)


def add_network(run: Run, label: str, request: Request) -> None:
    """Record what a label stands for.

    Raises:
        UsageError: the run was begun with something else.
    """
    before = run.record["networks"].get(label)
    run.add_network(label, network_card(request.network))
    now = run.record["networks"][label]
    log.info("%s: %s", label, preprocessing_of(request.network))
    if before and before["weights_hash"] != now["weights_hash"]:
        raise UsageError(
            f"`{run.folder}` was started with other weights of {label}: hash {before['weights_hash']}, now "
            f"{now['weights_hash']}"
        )
    if before and before.get("code") not in (None, now["code"]):
        raise UsageError(
            f"`{run.folder}` was started with other code or settings of {label}: hash {before['code']}, "
            f"now {now['code']}"
        )
    if before and (changed := changes(before["preprocessing"], now["preprocessing"])):
        raise UsageError(f"`{run.folder}` was started with other preprocessing of {label}: {changed}")


def _check_images(run: Run, now: Mapping) -> None:
    """The images of the run are those that it was begun on.

    Where its recording is under way, files that are read later may have been mended, or be left out as unreadable:
    the recording knows, image by image, what it has.

    Raises:
        UsageError: they are others.
    """
    before = run.record.get("data", {}).get("parts")
    if before is None or before == now.get("parts"):
        return
    others = {name for name in before if before[name] != now["parts"].get(name)}
    under_way = run.path(RECORDING).joinpath("recording.json").exists()
    if not (under_way and (now["left_out"] or others == {"sizes of files"})):
        raise UsageError(f"`{run.folder}` was started on other images: {image_differences(before, now['parts'])}")
