"""The commands of all analyses, each made from its declaration."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

import click

from ..analyses import analyses
from ..analyses.analysis import RUN, Analysis, Option, default_of, options_of
from ..errors import UsageError
from . import options as shared
from .execution import execute
from .group import Choice
from .program import MEASURE, main


def _click_option(each: Field, how: Option) -> Callable:
    """The option of a field."""
    name, default = each.name, default_of(each)
    settings: dict[str, Any] = {"help": how.help, "metavar": how.metavar}
    if default is False:
        settings |= {"is_flag": True}
    elif how.kind == "data":
        settings |= {"type": shared.DATA}
    elif how.kind == "file":
        settings |= {"type": shared.FOLDER}
    elif how.choices:
        settings |= {"type": Choice(how.choices)}
    elif how.least is not None:
        settings |= {"type": click.IntRange(how.least, 2**31 - 1 if name == "seed" else None)}
    elif isinstance(default, int) or how.metavar == "N":
        settings |= {"type": int}
    elif default and isinstance(default[0], float):
        settings |= {"type": float}
    if how.several:
        settings |= {"multiple": True, "default": ()}
    else:
        settings |= {"default": default, "show_default": default not in (None, False)}
    flags = how.flags or (f"--{name.replace('_', '-')}",)
    return shared.of(how.section)(*flags, name, **settings)


def add_command(kind: type[Analysis]) -> None:
    """Add the command of an analysis, made from its declaration."""
    options = options_of(kind)
    own = [_click_option(each, how) for each, how in options.items() if how.section != RUN]
    run = [_click_option(each, how) for each, how in options.items() if how.section == RUN]
    labels = shared.measured_option(
        "--network",
        "labels",
        multiple=True,
        metavar="LABEL",
        help="Networks of a RUN to use, all by default; repeatable.",
    )
    parts = [shared.anatomy] if kind.states_parts else []
    extra = _EXTRA.get(kind.name, [])
    stack = [shared.inputs, shared.untrained, *own, *parts, labels, *extra, *run, shared.measured]

    def callback(networks: Sequence[str], **chosen) -> None:
        _run(kind, list(networks), chosen)

    callback.__doc__ = inspect.cleandoc(kind.__doc__ or "")
    most = "NETWORK...|RUN..." if kind.compared > 1 else "NETWORK...|RUN"
    function: Callable = callback
    for decorate in reversed(stack):
        function = decorate(function)
    argument = click.argument("networks", nargs=-1, metavar=most, type=shared.NETWORK_OR_RUN)
    main.command(kind.name, section=MEASURE, example=kind.example)(argument(function))


def _run(kind: type[Analysis], networks: list[str], chosen: dict) -> None:
    options = options_of(kind)
    values = {each.name: chosen.pop(each.name) for each in options}
    given = {each.name: values[each.name] for each, how in options.items() if not how.several or values[each.name]}
    analysis = kind(**given)
    labels, source, checkpoints = (chosen.pop(name, None) for name in ("labels", "source", "checkpoints"))
    recordings = [Path(each) for each in networks if Path(each).is_dir()]
    out, resume, keep = (chosen.pop(name) for name in ("out", "resume", "keep"))
    if source is not None:
        recordings, labels = [source], [*labels, *networks]
    elif len(recordings) not in (0, len(networks)):
        raise UsageError(f"`{recordings[0]}` is a folder, and others are networks: give networks, or recordings")
    if recordings:
        if checkpoints:
            raise UsageError("a recording is one, --checkpoints makes several: give one of them")
        parts = ("branch", "shortcut", "gate") if kind.states_parts else ()
        shared.refuse_unread(*shared.OF_A_PASS, *parts, *(each.name for each, how in options.items() if how.of_a_pass))
        from ..analyses.running import OnRecordings

        execute(kind.name, OnRecordings(analysis, recordings, labels), out, resume)
        return
    for network in networks:
        shared.NETWORK(network)
    if not networks:
        raise UsageError("no NETWORK is named, and no recording" + (" by --from" if kind.name in _EXTRA else ""))
    if labels:
        raise UsageError("--network names networks of a RUN; NETWORKs are named without it")
    from ..analyses.running import OnNetworks

    inputs = shared.take_inputs(networks, chosen, analysis.seed)
    request = OnNetworks(analysis, inputs, shared.take_measuring(chosen, keep))
    if checkpoints:
        from ..analyses.over_training import SelectivityOverTraining

        series = SelectivityOverTraining(request, checkpoints)
        execute(kind.name, series, out, resume, series.is_whole)
    else:
        execute(kind.name, request, out, resume)


_EXTRA = {
    "selectivity": [
        shared.option(
            "--from",
            "source",
            type=shared.FOLDER,
            metavar="RUN",
            help="The same as a RUN in place of NETWORKs, which then name networks in it.",
        ),
        shared.option(
            "--checkpoints",
            type=shared.FOLDER,
            metavar="DIR",
            help="Measure one NETWORK, named without weights, at every checkpoint of a training; epochs are read from "
            "names.",
        ),
    ]
}

for _kind in analyses().values():
    add_command(_kind)
