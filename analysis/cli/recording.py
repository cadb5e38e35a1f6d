"""Recording what networks do."""

import click

from .. import choices
from . import options as shared
from .execution import rehearse, say_recording
from .group import Choice, is_chosen
from .program import MEASURE, main


@main.command(
    section=MEASURE,
    example="gelens record resnet50_se@weights.pth --data imagenet:DIR --tap gate --tap output --out runs/recording",
)
@shared.networks
@shared.inputs
@shared.untrained
@shared.where
@shared.option(
    "--tap",
    "taps",
    multiple=True,
    default=["output"],
    show_default=True,
    type=Choice(choices.TAPS),
    help="output (after the last ReLU), branch (before the gate), gate, gated, sum (before the last ReLU); repeatable.",
)
@shared.rectify
@shared.option(
    "--activities",
    default=choices.ACTIVITIES[0],
    show_default=True,
    type=Choice(choices.ACTIVITIES),
    help="Keep unit activities in float32, or in float16: half the space, three digits.",
)
@shared.seed
@shared.running
@shared.shares
@shared.out
@shared.as_json
@shared.dry_run
def record(networks, stage, blocks, taps, rectify, activities, seed, out, resume, **options):
    """Record predictions and unit activities of every image, at taps of blocks.

    OUT then holds images.csv and a NumPy array for each network, block and tap, with one row per image.
    `gelens selectivity OUT` computes the statistics without running the network again.
    """
    from ..commands.record import Record
    from ..processes import is_first

    inputs, how = shared.take_inputs(networks, options, seed), shared.take_sweep_options(options)
    request = Record(inputs, how, stage, blocks, taps, rectify, activities)
    if how.rehearse:
        rehearse(request.run)
        return
    recording = request.run(out, resume)
    if not is_first():
        return
    say_recording(recording, out)
    if how.shard and not is_chosen("json"):
        click.echo(f"This is shard {how.shard}; when all are recorded: `gelens merge FOLDER… --out RECORDING`.")
