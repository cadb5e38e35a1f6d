"""How every analysis is run: on networks and images or, without torch, on what was recorded of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import processes
from ..errors import UsageError
from ..files import file_hash
from ..names import unique_label
from ..recording import Recording, open_recording
from ..recording.format import discard
from ..results.run import Run, read_record
from ..results.sealing import check_file
from .analysis import Analysis, options_of
from .run_folder import (
    OF_OTHERS,
    Recorded,
    accuracy_of,
    computed,
    draw_what_there_is,
    leave,
    shown_in,
    write,
    write_results,
)

if TYPE_CHECKING:
    from torch import nn

    from ..sweep.passing import SweepOptions
    from .inputs import Inputs
    from .measuring import Measuring
    from .requests import Request


@dataclass(frozen=True)
class OnNetworks:
    """An analysis of networks, which takes a pass over images."""

    analysis: Analysis
    inputs: "Inputs"
    measuring: "Measuring"

    def arguments(self) -> dict:
        """What results depend on."""
        return self.inputs.as_arguments() | self.measuring.arguments() | self.analysis.arguments()

    def run(self, run: Run) -> list[Path]:
        """Record, compute and write every table.

        Raises:
            Recorded: that is all for this process to do.
        """
        labelled, images = self.inputs.load()
        of_others, skip = run.path(OF_OTHERS), self.inputs.skip_unreadable
        requests = asked(self.analysis, labelled, images, self.measuring.options, of_others, skip)
        recording = self.measuring.measure(run, requests, images, self.analysis.seed)
        results = write(run, self.analysis, recording)
        write_results(run, self.analysis.pictures(results, images, recording))
        if not self.measuring.keep:
            discard(of_others)
        return self.measuring.finish(run)


@dataclass(frozen=True)
class OnRecordings:
    """An analysis of what was recorded: no network is run.

    Args:
        recordings: folders, of `gelens record` or of runs that kept theirs.
        networks: labels; all by default. Of several recordings one of each.
    """

    analysis: Analysis
    recordings: Sequence[Path]
    networks: Sequence[str] = ()

    def __post_init__(self):
        compared, recordings, given = self.analysis.compared, len(self.recordings), len(self.networks)
        if recordings > max(compared, 1):
            raise UsageError(f"{recordings} recordings; expected {'one or two' if compared == 2 else 'one'}")
        if compared and given not in (0, compared):
            raise UsageError(f"--network is given {given} times; expected twice, or never")
        if recordings == 1 and (twice := [each for each in self.networks if self.networks.count(each) > 1]):
            raise UsageError(
                f"`{twice[0]}` is named twice" + ("; it would be compared with itself" if compared else "")
            )

    def arguments(self) -> dict:
        """What results depend on."""
        made = [recording_hash(each) for each in self.recordings]
        of_a_pass = {each.name for each, how in options_of(type(self.analysis)).items() if how.of_a_pass}
        chosen = {name: value for name, value in self.analysis.arguments().items() if name not in of_a_pass}
        if "rectify" in of_a_pass:
            chosen["rectify"] = any(_rectified(folder) for folder in self.recordings)
        return chosen | {"from": made, "networks": list(self.networks)}

    def run(self, run: Run) -> list[Path]:
        """Compute and write every table.

        Raises:
            Recorded: another process does.
        """
        if not processes.is_first():
            raise Recorded
        recordings = self._opened()
        results = computed(run, self.analysis, *recordings)
        for recording in recordings:
            for label, card in recording.networks.items():
                run.add_network(unique_label(label, run.record["networks"]), card)
        data = recordings[0].described.get("data", {}) | {"read": len(recordings[0].images)}
        run.save(data=data, seed=self.analysis.seed)
        if self.analysis.tells_accuracy:
            write_results(run, accuracy_of(recordings[0]))
        leave(run, self.analysis, results, *recordings)
        return draw_what_there_is(run.folder)

    def _opened(self) -> list[Recording]:
        opened = [open_recording(folder) for folder in self.recordings]
        if len(opened) == 1:
            return [opened[0].only(self.networks)]
        return [each.only(self.networks[at : at + 1]) for at, each in enumerate(opened)]


def asked(
    analysis: Analysis,
    networks: "Mapping[str, nn.Module]",
    images,
    options: "SweepOptions",
    folder: Path | None = None,
    skip_unreadable: bool = False,
) -> "dict[str, Request]":
    """What a pass keeps of each network, by label; what must be known of other images is recorded first.

    Args:
        folder: of the recording of other images; in memory where there is none.
        skip_unreadable: leave out those of the other images that cannot be read.

    Raises:
        UsageError: the analysis cannot be made of these networks or images.
    """
    from .measuring import record_others

    analysis.check(networks, images)
    others = None
    if (data := analysis.others()) is not None:
        wanted = analysis.requests_of_others(networks, images)
        others = record_others(wanted, data, images, options, folder, skip_unreadable)
    requests = analysis.requests(networks, images, others)
    shown = frozenset() if others is None else shown_in(others)
    return {label: replace(each, apart_from=each.apart_from | shown) for label, each in requests.items()}


def asked_together(
    parts: Sequence[tuple[Analysis, Sequence[str]]],
    networks: "Mapping[str, nn.Module]",
    images,
    options: "SweepOptions",
) -> "dict[str, Request]":
    """What one pass keeps for several analyses: of networks that no analysis is of, what they get right.

    Args:
        parts: analyses, each with the labels of the networks that it is of.
    """
    from .requests import Request

    requests = {label: Request(network) for label, network in networks.items()}
    for part, labels in parts:
        wanted = asked(part, {label: networks[label] for label in labels}, images, options)
        requests |= {label: requests[label].with_(each) for label, each in wanted.items()}
    return requests


def write_together(run: Run, parts: Sequence[tuple[Analysis, Sequence[str]]], recording: Recording, images) -> None:
    """Write what each of several analyses makes of its networks in a recording."""
    for part, labels in parts:
        mine = recording.only(labels)
        results = write(run, part, mine)
        write_results(run, part.pictures(results, images, mine))


def recording_hash(folder: Path) -> str:
    """What a result depends on that is computed from a recording, or from a run that kept one."""
    path = open_recording(folder).path("recording.json")
    if (folder / "run.json").is_file():
        read_record(folder)  # an error where it was changed
        check_file(folder, path.relative_to(folder).as_posix())
    return file_hash(path)


def _rectified(folder: Path) -> bool:
    """Whether the positive part was recorded of some network."""
    settings = open_recording(folder).described.get("settings", {})
    return any(each.get("rectified") for each in settings.values())
