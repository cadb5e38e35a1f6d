"""What looks things up: the catalogue, layers, indices, diagrams."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..errors import plain
from . import options as shared
from .execution import execute
from .program import LOOK_UP, main

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100
"""Columns that a list takes at most."""


@main.command("networks", section=LOOK_UP, example="gelens networks --json")
@shared.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_networks(as_json):
    """List the networks: parameters, multiply-accumulates, published errors, and weights that come with gelens."""
    from ..networks.catalogue import catalogue_table, default_settings
    from ..networks.shipped import everything, shipped_table

    table, shipped = catalogue_table(), shipped_table()
    if as_json:
        of_row = lambda row: [str(each.reference) for each in everything() if each.listed_as(row)]
        click.echo(table.assign(shipped=table["name"].map(of_row)).to_json(orient="records", indent=2))
        return
    short = {"published_gmacs": "paper", "published_top1_error": "top-1 %", "published_top5_error": "top-5 %"}
    formats = {"parameters": "{:,}".format, "gmacs": "{:.3f}".format}
    click.echo(_listed(table.drop(columns="settings").rename(columns=short), formats))
    click.echo("paper: the paper's count of gmacs; top-1 and top-5 its own errors on ImageNet. Those of plain")
    click.echo("ResNet-50 and θ⁻ are its supplementary table's; the others, and gmacs, are recalled, not read again.")
    click.echo("\nSettings follow the name as :key=value,… These are the defaults:")
    for names, settings in default_settings().items():
        click.echo(f"  {names}: {','.join(f'{key}={value}' for key, value in settings)}")
    click.echo("\nWeights that come with gelens; @cifar10/* is the group of all seeds there:")
    columns = ["reference", "top1_accuracy", "recipe", "epochs", "hash"]
    click.echo(_listed(shipped[columns].rename(columns={"top1_accuracy": "top-1 %"}), {}))
    for note in filter(None, shipped["note"].unique()):
        click.echo(click.wrap_text(f"Data: {note}.", WIDTH))
    for licence in shipped["licence"].unique():
        click.echo(click.wrap_text(f"Licence: {licence}.", WIDTH))


def _listed(table: "pd.DataFrame", formats: dict[str, Callable]) -> str:
    """A table as text, its first column from the left on."""
    name, width = table.columns[0], table.iloc[:, 0].str.len().max()
    first = name.ljust(width)
    written = table.rename(columns={name: first})
    return written.to_string(index=False, na_rep="", formatters={first: lambda each: each.ljust(width), **formats})


@main.command(section=LOOK_UP, example="gelens layers timm/resnet50")
@click.argument("network", type=shared.NETWORK)
@shared.option("--image-size", type=click.IntRange(1), help="Image size in pixels, instead of the network's own.")
def layers(network, image_size):
    """List the modules that can be measured: units, map size, branch, gate, and whether activations are signed.

    These are the blocks of its stages or, where the stages are not known, its modules in the order in which they run,
    without those inside a block. Signed modules have negative activations on noise: measure them with --rectify.
    """
    from ..anatomy.listing import layer_table
    from ..networks import load_network
    from ..networks.checkpoints import check_side

    check_side(image_size)
    click.echo(layer_table(load_network(network), image_size).to_string(index=False))


@main.command(section=LOOK_UP, example="gelens inspect thin_resnet50_se")
@click.argument("network", type=shared.NETWORK)
@shared.where
@shared.anatomy
@shared.option("--image-size", type=click.IntRange(1), help="Image size in pixels, instead of the network's own.")
@shared.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(network, stage, blocks, branch, shortcut, gate, image_size, as_json):
    """Show each block's branch, shortcut and gate, and how they were identified.

    They are identified by what the block computes on noise, and proved by intervention: without its branch a block
    returns its shortcut, and a gate set to 1 returns its input. Parts that you state (--branch, --shortcut, --gate) are
    verified in the same way. pruning, taps and gates refuse blocks whose parts cannot be identified.
    """
    from ..anatomy.listing import anatomy_table
    from ..anatomy.sites import resolve_blocks
    from ..networks import load_network
    from ..networks.card import StatedParts, write_card
    from ..networks.checkpoints import check_side

    check_side(image_size)
    loaded = load_network(network)
    write_card(loaded, anatomy=StatedParts(branch, shortcut, gate))
    table = anatomy_table(loaded, resolve_blocks(loaded, stage, blocks), image_size)
    click.echo(table.to_json(orient="records", indent=2) if as_json else table.to_string(index=False))


@main.command("indices", section=LOOK_UP, example="gelens indices")
@shared.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_indices(as_json):
    """List the selectivity indices: definition, source and range."""
    from ..statistics import INDICES

    parts = ("definition", "range", "source")
    if as_json:
        told = [{"name": name} | {part: getattr(each, part) for part in parts} for name, each in INDICES.items()]
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for name, index in INDICES.items():
        click.echo(f"{name}: {index.definition}.\n    Between {index.range}. {index.source}.")


@main.command(section=LOOK_UP, example="gelens diagram resnet50_se resnet50_ge_theta_minus:extent=4")
@shared.networks_if_any
@shared.out
@shared.as_json
def diagram(networks, out, resume):
    """Diagrams of Gather-Excite operators: the paper's four, or those of given networks (figure 4)."""
    from ..commands.diagram import Diagram

    execute("diagram", Diagram(networks), out, resume)


@main.command(section=LOOK_UP, example="gelens doctor")
@shared.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json):
    """Check this machine: versions, devices, weights, data and free disk space."""
    from ..commands.doctor import examine

    found = list(examine())
    if as_json:
        click.echo(json.dumps([vars(each) for each in found], indent=2))
    else:
        _say_found(found)
    if not all(each.well for each in found):
        click.get_current_context().exit(1)


def _say_found(found) -> None:
    for section in dict.fromkeys(each.section for each in found):
        click.echo(f"{section}:")
        for each in found:
            if each.section == section:
                click.echo(f"  {' ' if each.well else '!'} {each.name:<16} {plain(each.value)}")
