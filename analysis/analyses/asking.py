"""Analyses in Python: one function for all of them, and one of its own for each, made from its declaration."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from ..data import load_data
from ..errors import UsageError, unknown
from ..recording import Recording, open_recording
from ..subjects import Networks, fit_classes, trained_networks
from ..sweep.passing import SweepOptions
from .analysis import Analysis, default_of, options_of
from .requests import record_requests
from .running import asked


@dataclass(frozen=True)
class Result:
    """What came of an analysis in Python.

    Args:
        tables: by name, without the ending that their files have.
        arrays: by name, named arrays.
        findings: what may be said, a sentence each.
        recording: what it was computed from; analyses take it in place of networks.
    """

    tables: dict[str, pd.DataFrame]
    findings: list[str] = field(default_factory=list)
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    recording: Recording | None = None

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table.

        Raises:
            UsageError: there is none of this name; the message lists those that are there.
        """
        if name not in self.tables:
            raise unknown("table", name, self.tables)
        return self.tables[name]

    def __repr__(self) -> str:
        told = [f"{name}: {len(table)} rows of {', '.join(table.columns)}" for name, table in self.tables.items()]
        return "\n".join([*told, *self.findings])


def ask(
    analysis: Analysis,
    networks: "Networks | Recording | Path | Sequence[Recording | Path]",
    data=None,
    options: SweepOptions | None = None,
    classes_by_position: bool = False,
    untrained: bool = False,
) -> Result:
    """Run an analysis.

    Args:
        analysis: such as `gelens.analyses.Gates(blocks=["layer3.0"])`.
        networks: a network or reference, several, or a mapping from labels; or a recording, or the `Path` of its
            folder, in which case no network is run. `match` takes two of them.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        options: how the pass is run.
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: measure references without weights, with random ones.

    Raises:
        UsageError: it cannot be made of these.
    """
    recordings = recordings_among(networks)
    if not recordings:
        if data is None:
            raise UsageError(f"{analysis.name} measures networks on images: give data, such as digits, or a recording")
        labelled = trained_networks(networks, untrained)  # type: ignore[arg-type]  # no recording is among them
        images = fit_classes(labelled.values(), load_data(data), classes_by_position)
        requests = asked(analysis, labelled, images, options or SweepOptions())
        recordings = [record_requests(requests, images, options)]
    elif data is not None:
        raise UsageError("a recording has its images: leave data out")
    if len(recordings) > max(analysis.compared, 1):
        raise UsageError(f"{analysis.name} takes {max(analysis.compared, 1)} recordings, but got {len(recordings)}")
    results = analysis.results(*recordings)
    cards = {label: card for recording in recordings for label, card in recording.networks.items()}
    tables = {name.removesuffix(".csv"): each for name, each in results.items() if isinstance(each, pd.DataFrame)}
    arrays = {name.removesuffix(".npz"): each for name, each in results.items() if not isinstance(each, pd.DataFrame)}
    return Result(tables, list(analysis.sentences(results, cards)), arrays, recordings[0])


def recordings_among(networks) -> list[Recording]:
    """The recordings that stand where networks do; none, where networks do."""
    several = list(networks) if isinstance(networks, list | tuple) else [networks]
    given = [isinstance(each, Recording | Path) for each in several]
    if not any(given):
        return []
    if not all(given):
        raise UsageError("recordings and networks are mixed; expected one or the other")
    return [each if isinstance(each, Recording) else open_recording(each) for each in several]


def with_options(function: Callable) -> Callable:
    """A function of `options` that takes the fields of `SweepOptions` as arguments of its own, too."""
    how = {each.name: each for each in fields(SweepOptions)}
    signature = inspect.signature(function)

    def called(*arguments, **named):
        given = {name: named.pop(name) for name in list(named) if name in how}
        if given and named.get("options") is not None:
            raise TypeError(f"{function.__name__}() takes options, or {', '.join(given)}: give one of them")
        if given:
            named["options"] = SweepOptions(**given)
        return function(*arguments, **named)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default) for name, each in how.items()
    ]
    known = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    called.__signature__ = signature.replace(parameters=[*known, *added])  # type: ignore[attr-defined]
    called.__name__, called.__qualname__, called.__module__ = function.__name__, function.__name__, function.__module__
    called.__doc__ = function.__doc__
    return called


def function_of(kind: type[Analysis], module: str) -> Callable[..., Result]:
    """The function of an analysis: its options are arguments."""
    own = options_of(kind)
    known = [each.name for each in own]

    def function(networks, data=None, *, options=None, classes_by_position=False, untrained=False, **chosen) -> Result:
        if strange := [name for name in chosen if name not in known]:
            raise TypeError(f"{kind.name}: {unknown('argument', strange[0], known)}")
        return ask(kind(**chosen), networks, data, options, classes_by_position, untrained)

    usual = [each for name, each in inspect.signature(function).parameters.items() if name != "chosen"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    chosen = [inspect.Parameter(each.name, keyword, default=default_of(each)) for each in own]
    function.__signature__ = inspect.Signature([*usual, *chosen])  # type: ignore[attr-defined]
    function.__name__ = function.__qualname__ = kind.name.replace("-", "_")
    function.__module__, function.__doc__ = module, _documented(kind, own)
    return with_options(function)


def _documented(kind: type[Analysis], options: Mapping) -> str:
    """A docstring as those of functions that are written by hand."""
    first, *paragraphs = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    told = [each for each in paragraphs if "A RUN is" not in each]  # which is the command line's
    lines = ["\n\n".join([first, *told]), "", "Args:"]
    lines += [
        "    networks: a network or reference, several, or a mapping from labels; or a recording, or its Path.",
        "    data: a reference, or a torch Dataset or sequential DataLoader of (image, label).",
        "    options: how the pass is run; its fields, such as device, can be given as they are, too.",
        "    classes_by_position: class k of the images is output k, whatever it is called.",
        "    untrained: measure references without weights, with random ones.",
    ]
    for each, how in options.items():
        help = how.help.partition("  [default")[0].removesuffix(".")
        lines.append(f"    {each.name}: {help[0].lower()}{help[1:]}.")
    return "\n".join([*lines, "", "Returns:", "    tables, findings and the recording.", ""])
