"""What measures networks."""

from pathlib import Path

import click

from .. import choices
from ..errors import UsageError
from . import options as shared
from .group import Choice, is_chosen
from .program import MEASURE, main
from .running import execute, rehearse, say_recording


@main.command(section=MEASURE, example="gelens evaluate thin_resnet50@cifar10 thin_resnet50_se@cifar10 --data cifar10")
@shared.networks
@shared.inputs
@shared.untrained
@shared.measured_run
def evaluate(networks, seed, keep, out, resume, **options):
    """Top-1 and top-5 error, parameters and multiply-accumulates (table 1)."""
    from ..commands.evaluate import Evaluate

    inputs = shared.take_inputs(networks, options, seed)
    execute("evaluate", Evaluate(inputs, shared.take_measuring(options, keep)), out, resume)


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
@shared.seed
@shared.running
@shared.shares
@shared.out
@shared.as_json
@shared.dry_run
def record(networks, stage, blocks, taps, rectify, seed, out, resume, **options):
    """Record what networks do with every image: predictions, and the activity of units at taps of blocks.

    OUT then holds images.csv and a NumPy array for each network, block and tap, with a row for each image. The
    statistics of `gelens selectivity --from OUT` need no network any more.
    """
    from ..commands.record import Record
    from ..processes import is_first

    inputs, how = shared.take_inputs(networks, options, seed), shared.take_sweep_options(options)
    request = Record(inputs, how, stage, blocks, taps, rectify)
    if how.rehearse:
        rehearse(request.run)
        return
    recording = request.run(out, resume)
    if not is_first():
        return
    say_recording(recording, out)
    if how.shard and not is_chosen("json"):
        click.echo(f"This is shard {how.shard}; when all are recorded: `gelens merge FOLDER… --out RECORDING`.")


@main.command(
    section=MEASURE,
    example="gelens selectivity thin_resnet50@cifar10 thin_resnet50_se@cifar10 --data cifar10 --index auc",
)
@shared.networks_or_labels
@shared.inputs
@shared.untrained
@shared.where
@shared.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="RECORDING",
    help="Compute from a recording, or from a run that kept one, without a network; NETWORKs are labels in it then.",
)
@shared.recorded_tap
@shared.option("--groups", type=click.Path(path_type=Path), help="A csv of class and group: the index of groups.")
@shared.reference
@shared.resampled
@shared.rectify
@shared.option(
    "--index",
    "indices",
    multiple=True,
    type=Choice(choices.INDICES),
    help="Another index beside csi; repeatable. `gelens indices` defines them.",
)
@shared.option("--save-means", is_flag=True, help="Also write the class-conditional means (npz).")
@shared.option(
    "--checkpoints",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure one NETWORK, named without weights, at every checkpoint of a training; epochs are read from names.",
)
@shared.measured_run
def selectivity(
    networks,
    stage,
    blocks,
    source,
    tap,
    reference,
    save_means,
    rectify,
    checkpoints,
    seed,
    keep,
    out,
    resume,
    **more,
):
    """Class selectivity of every unit, block by block (figure 2 and the gap against depth)."""
    if not source:
        for network in networks:
            shared.NETWORK(network)
        if not networks:
            raise UsageError("no NETWORK is named, and no recording by --from")
    from ..commands.selectivity import MeasureSelectivity, SelectivityFrom, SelectivityOverTraining

    statistics = shared.take_statistics(more, seed)
    if source:
        if checkpoints:
            raise UsageError("--from takes one recording, --checkpoints makes several: give one of them")
        shared.refuse_unread(*shared.OF_A_PASS, "stage", "blocks", "rectify")
        request = SelectivityFrom(source, networks, statistics, tap, reference, save_means)
        execute("selectivity", request, out, resume)
        return
    inputs = shared.take_inputs(networks, more, seed)
    measuring = shared.take_measuring(more, keep)
    request = MeasureSelectivity(inputs, measuring, statistics, stage, blocks, rectify, tap, reference, save_means)
    if checkpoints:
        series = SelectivityOverTraining(request, checkpoints)
        execute("selectivity", series, out, resume, series.is_whole)
    else:
        execute("selectivity", request, out, resume)


@main.command(
    section=MEASURE,
    example="gelens gates thin_resnet50_se@cifar10 --data cifar10 --means-from cifar10#train",
)
@shared.networks_or_run
@shared.inputs
@shared.untrained
@shared.where
@shared.anatomy
@shared.resampled
@shared.option(
    "--means-from",
    type=shared.DATA,
    help="Also accuracy with static gates: values from these other images, such as digits#train, instead of their own.",
)
@shared.measured_run
def gates(networks, stage, blocks, means_from, seed, keep, out, resume, **more):
    """What gates do: how their values vary, with what, their class selectivity, their tie to activity.

    A RUN is a folder with a recording of the taps gate and output: no network is run then.
    """
    from ..commands.gates import GatesFrom, MeasureGates

    statistics = shared.take_statistics(more, seed)
    if recording := shared.recording_among(networks, "stage", "blocks", "means_from", "branch", "shortcut", "gate"):
        execute("gates", GatesFrom(recording, statistics), out, resume)
        return
    inputs = shared.take_inputs(networks, more, seed)
    measuring = shared.take_measuring(more, keep)
    execute("gates", MeasureGates(inputs, measuring, statistics, stage, blocks, means_from), out, resume)


@main.command(section=MEASURE, example="gelens lesions thin_resnet50_se@cifar10 --data cifar10 --limit 1000 --units 64")
@shared.networks
@shared.inputs
@shared.untrained
@shared.where
@shared.option("--units", type=int, default=128, show_default=True, help="Of each block, drawn by --seed.")
@shared.option(
    "--means-from",
    type=shared.DATA,
    help="Also drop each image's own class's most selective units, by these other images, against another class's.",
)
@shared.measured_run
def lesions(networks, stage, blocks, units, means_from, seed, keep, out, resume, **options):
    """Do indices predict what a unit is for: each unit dropped alone, and the damage held against every index.

    It costs as many passes through what follows a block as units are dropped: a thousand images (--limit) are a start.
    """
    from ..commands.lesions import MeasureLesions

    inputs = shared.take_inputs(networks, options, seed)
    request = MeasureLesions(inputs, shared.take_measuring(options, keep), units, stage, blocks, seed, means_from)
    execute("lesions", request, out, resume)


@main.command(section=MEASURE, example="gelens taps thin_resnet50_se@cifar10 --data cifar10")
@shared.networks_or_run
@shared.inputs
@shared.untrained
@shared.where
@shared.anatomy
@shared.resampled
@shared.rectify
@shared.measured_run
def taps(networks, stage, blocks, rectify, seed, keep, out, resume, **more):
    """Where selectivity arises: the index at the branch, after the gate, at the sum and at the output of each block.

    A RUN is a folder with a recording of two of these taps at least: no network is run then.
    """
    from ..commands.taps import MeasureTaps, TapsFrom

    statistics = shared.take_statistics(more, seed)
    if recording := shared.recording_among(networks, "stage", "blocks", "rectify", "branch", "shortcut", "gate"):
        execute("taps", TapsFrom(recording, statistics), out, resume)
        return
    inputs = shared.take_inputs(networks, more, seed)
    measuring = shared.take_measuring(more, keep)
    execute("taps", MeasureTaps(inputs, measuring, statistics, stage, blocks, rectify), out, resume)


@main.command(
    section=MEASURE,
    example="gelens pruning thin_resnet50_se@cifar10 --data cifar10 --score gate --score random",
)
@shared.networks
@shared.inputs
@shared.untrained
@shared.where
@shared.anatomy
@shared.option("--ratio", "ratios", type=float, multiple=True, help="A drop ratio, repeatable.  [default: 0, 0.1 … 1]")
@shared.option(
    "--order",
    "orders",
    multiple=True,
    type=Choice(choices.ORDERS),
    help="Important ones first; both by default.",
)
@shared.option(
    "--score",
    "scores",
    multiple=True,
    type=Choice(choices.SCORES),
    help="What importance is; gate, the paper's, by default; repeatable.",
)
@shared.option("--one-order", is_flag=True, help="One order for all images, by the mean score of --means-from.")
@shared.option(
    "--fill",
    type=Choice(choices.FILLS),
    default="zero",
    show_default=True,
    help="For dropped maps; mean is that of the branch over --means-from.",
)
@shared.option(
    "--scope",
    type=Choice(choices.SCOPES),
    default="block",
    show_default=True,
    help="Drop in each block alone, or in all of a stage.",
)
@shared.option("--means-from", type=shared.DATA, help="Other images than those measured, such as digits#train.")
@shared.option(
    "--selectivity-from", type=click.Path(path_type=Path), metavar="RUN", help="Its index, for --score selectivity."
)
@shared.option("--class-curves", "per_class", is_flag=True, help="Also write each class's own curves.")
@shared.option("--exact", is_flag=True, help="Don't fold batch norm: bit for bit a plain loop at equal batch shapes.")
@shared.option("--rows", type=click.IntRange(1), help="Images × variants in a forward pass, instead of by the device.")
@shared.option("--compile", "compiled", is_flag=True, help="Use torch.compile.")
@shared.measured_run
def pruning(networks, stage, blocks, keep, out, resume, means_from, selectivity_from, per_class, **options):
    """Accuracy after dropping feature maps by their gates' values (figure 3).

    Networks without gates are measured whole and with each block's shortcut alone: the figure's stars. Other scores
    than the gate give every network its curves.
    """
    from ..commands.pruning import Pruning
    from ..probes.dropping import ORDERS, RATIOS, Dropping, check_ratios

    chosen = {"ratios": check_ratios(options.pop("ratios") or RATIOS), "orders": list(options.pop("orders") or ORDERS)}
    chosen |= {"scores": list(options.pop("scores") or ("gate",)), "per_image": not options.pop("one_order")}
    chosen |= shared.take(options, "fill", "scope", "exact", "seed", "rows", "compiled")
    dropping = Dropping(**chosen)
    dropping.check()
    inputs, measuring = shared.take_inputs(networks, options, dropping.seed), shared.take_measuring(options, keep)
    request = Pruning(inputs, measuring, dropping, stage, blocks, means_from, selectivity_from, per_class)
    execute("pruning", request, out, resume)
