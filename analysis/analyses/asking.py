"""Analyses in Python: one function for all of them, and one of its own for each, made from its declaration."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from ..data import load_data
from ..errors import UsageError, unknown
from ..recording import Recording, open_recording
from ..subjects import Networks, fit_classes, trained_networks
from ..sweep.passing import SweepOptions
from . import analyses
from .analysis import Analysis, default_of, options_of
from .requests import record_requests
from .result import Result, in_json, split
from .running import asked


def recordings_among(networks) -> list[Recording]:
    """The recordings that stand where networks do; none, where networks do."""
    several = list(networks) if isinstance(networks, list | tuple) else [networks]
    given = [isinstance(each, Recording | Path) for each in several]
    if not any(given):
        return []
    if not all(given):
        raise UsageError("recordings and networks are mixed; expected one or the other")
    return [each if isinstance(each, Recording) else open_recording(each) for each in several]


def made(kind: type[Analysis], given: Mapping[str, object]) -> Analysis:
    """An analysis with options by their names here or on the command line: `scores=["gate"]` or `score="gate"`.

    Raises:
        TypeError: it has no such option, or has it twice.
    """
    own, by_name = options_of(kind), options_by_name(kind)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in by_name:
            raise TypeError(f"{kind.name}: {unknown('argument', name, [each.name for each in own])}")
        each = by_name[name]
        if each.name in values and values[each.name] != default_of(each):
            raise TypeError(f"{kind.name}: {each.name} is given twice")
        one = own[each].several and own[each].flags and (isinstance(value, str) or not isinstance(value, Iterable))
        values[each.name] = (value,) if one else value
    return kind(**values)


def options_by_name(kind: type[Analysis]) -> dict[str, Field]:
    """The options of an analysis by their names in Python and on the command line, such as `scores` and `score`."""
    own = options_of(kind)
    flags = {each: how.flags[0].removeprefix("--").replace("-", "_") for each, how in own.items() if how.flags}
    return {flag: each for each, flag in flags.items()} | {each.name: each for each in own}


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


@with_options
def ask(
    analysis: Analysis | str,
    networks: "Networks | Recording | Path | Sequence[Recording | Path]",
    data=None,
    options: SweepOptions | None = None,
    classes_by_position: bool = False,
    untrained: bool = False,
    **chosen: Any,
) -> Result:
    """Run an analysis.

    Args:
        analysis: its name, such as "selectivity", or `gelens.analyses.Gates(blocks=["layer3.0"])`.
        networks: a network or reference, several, or a mapping from labels; or a recording, or the `Path` of its
            folder, in which case no network is run. `match` takes two of them.
        data: a reference, or a torch Dataset or sequential DataLoader of (image, label).
        options: how the pass is run.
        classes_by_position: class k of the images is output k, whatever it is called.
        untrained: measure references without weights, with random ones.
        chosen: the options of an analysis that is named, as on the command line or as its function has them.

    Raises:
        UsageError: it cannot be made of these.
    """
    if isinstance(analysis, str):
        if analysis not in analyses():
            raise unknown("analysis", analysis, analyses())
        analysis = made(analyses()[analysis], chosen)
    elif chosen:
        raise TypeError(f"{analysis.name} has its options already: leave out {', '.join(chosen)}")
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
    if data is not None:
        results |= analysis.pictures(results, images, recordings[0])
    cards = {label: card for recording in recordings for label, card in recording.networks.items()}
    tables, arrays = split(results)
    first = recordings[0]
    record = {
        "command": analysis.name,
        "arguments": in_json(analysis.arguments()),
        "networks": in_json(cards),
        "data": in_json(first.described.get("data", {}) | {"read": len(first.images)}),
        **analysis.facts(first),
    }
    return Result(tables, analysis.said(results, cards), arrays, first, record, analysis.table, analysis.figure)


def of_analysis(kind: type[Analysis]) -> Callable[[Callable], Callable]:
    """Let a function that hands `more` to `made` show all options of an analysis, beside what `with_options` does."""

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)
        known = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        there = {each.name for each in known}
        keyword = inspect.Parameter.KEYWORD_ONLY
        for each in options_of(kind):
            if each.name not in there:
                known.append(inspect.Parameter(each.name, keyword, default=default_of(each)))
        function.__signature__ = signature.replace(parameters=known)  # type: ignore[attr-defined]
        return with_options(function)

    return decorate


def function_of(kind: type[Analysis], module: str) -> Callable[..., Result]:
    """The function of an analysis: its options are arguments."""
    own = options_of(kind)

    def function(networks, data=None, *, options=None, classes_by_position=False, untrained=False, **chosen) -> Result:
        return ask(made(kind, chosen), networks, data, options, classes_by_position, untrained)

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
