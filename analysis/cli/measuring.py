"""What measures networks, or computes from recordings."""

from pathlib import Path

import click

from . import options as shared
from .main import main
from .running import execute, say_recording


@main.command()
@shared.networks
@shared.inputs
@shared.untrained
@shared.seed
@shared.running
@shared.keep
@shared.shares
@shared.out
def evaluate(networks, seed, keep, out, resume, **options):
    """Top-1 and top-5 error, parameters and multiply-accumulates (table 1)."""
    from ..commands.evaluate import Evaluate

    inputs = shared.take_inputs(networks, options, seed)
    execute("evaluate", Evaluate(inputs, shared.take_measuring(options, keep)), out, resume)


@main.command()
@shared.networks
@shared.inputs
@shared.untrained
@shared.where
@click.option(
    "--tap",
    "taps",
    multiple=True,
    default=["output"],
    show_default=True,
    metavar="TAP",
    help="output (after the last ReLU), branch (before the gate), gate, gated, sum (before the last ReLU); repeatable.",
)
@shared.rectify
@shared.seed
@shared.running
@shared.shares
@shared.out
def record(networks, stage, blocks, taps, rectify, seed, out, resume, **options):
    """Record what networks do with every image: predictions, and the activity of units at taps of blocks.

    OUT then holds images.csv and a NumPy array for each network, block and tap, with a row for each image. The
    statistics of `gelens selectivity --from OUT` need no network any more.
    """
    from ..commands.record import Record
    from ..processes import is_first

    inputs, how = shared.take_inputs(networks, options, seed), shared.take_sweep_options(options)
    recording = Record(inputs, how, stage, blocks, taps, rectify).run(out, resume)
    if not is_first():
        return
    say_recording(recording, out)
    if how.shard:
        click.echo(f"This is shard {how.shard}; when all are recorded: `gelens merge FOLDER… --out RECORDING`.")


@main.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@shared.inputs
@shared.untrained
@shared.where
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="RECORDING",
    help="Compute from a recording, or from a run that kept one, without a network; NETWORKs are labels in it then.",
)
@click.option("--tap", default="output", show_default=True, help="Whose activity is taken; `gelens record` lists them.")
@click.option("--groups", type=click.Path(path_type=Path), help="A csv of class and group: the index of groups.")
@click.option("--reference", help="Label of the network that the others are compared with; the first by default.")
@shared.resampled
@shared.rectify
@click.option(
    "--index",
    "indices",
    multiple=True,
    help="Another index beside csi: precision, ccmas, auc, mi; repeatable. `gelens indices` defines them.",
)
@click.option("--save-means", is_flag=True, help="Also write the class-conditional means (npz).")
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure one NETWORK, named without weights, at every checkpoint of a training; epochs are read from names.",
)
@shared.seed
@shared.running
@shared.keep
@shared.shares
@shared.out
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
    from ..commands.selectivity import MeasureSelectivity, SelectivityFrom, SelectivityOverTraining
    from ..errors import UsageError

    statistics = shared.take_statistics(more, seed)
    if source:
        if checkpoints:
            raise UsageError("--from takes one recording, --checkpoints makes several: give one of them")
        shared.refuse_unread(*shared.OF_A_PASS, "stage", "blocks", "rectify")
        request = SelectivityFrom(source, networks, statistics, tap, reference, save_means)
        execute("selectivity", request, out, resume)
        return
    if not networks:
        raise UsageError("no NETWORK is named, and no recording by --from")
    inputs = shared.take_inputs(networks, more, seed)
    measuring = shared.take_measuring(more, keep)
    request = MeasureSelectivity(inputs, measuring, statistics, stage, blocks, rectify, tap, reference, save_means)
    if checkpoints:
        series = SelectivityOverTraining(request, checkpoints)
        execute("selectivity", series, out, resume, series.is_whole)
    else:
        execute("selectivity", request, out, resume)


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...|RUN")
@shared.inputs
@shared.untrained
@shared.where
@shared.resampled
@click.option(
    "--means-from",
    metavar="DATA",
    help="Also accuracy with static gates: values from these other images, such as digits#train, instead of their own.",
)
@shared.seed
@shared.running
@shared.keep
@shared.shares
@shared.out
def gates(networks, stage, blocks, means_from, seed, keep, out, resume, **more):
    """What gates do: how their values vary, with what, their class selectivity, their tie to activity.

    A RUN is a folder with a recording of the taps gate and output: no network is run then.
    """
    from ..commands.gates import GatesFrom, MeasureGates

    statistics = shared.take_statistics(more, seed)
    if recording := shared.recording_among(networks, "stage", "blocks", "means_from"):
        execute("gates", GatesFrom(recording, statistics), out, resume)
        return
    inputs = shared.take_inputs(networks, more, seed)
    execute(
        "gates",
        MeasureGates(inputs, shared.take_measuring(more, keep), statistics, stage, blocks, means_from),
        out,
        resume,
    )


@main.command()
@shared.networks
@shared.inputs
@shared.untrained
@shared.where
@click.option("--units", type=int, default=128, show_default=True, help="Of each block, drawn by --seed.")
@click.option(
    "--means-from",
    metavar="DATA",
    help="Also drop each image's own class's most selective units, by these other images, against another class's.",
)
@shared.seed
@shared.running
@shared.keep
@shared.shares
@shared.out
def lesions(networks, stage, blocks, units, means_from, seed, keep, out, resume, **options):
    """Do indices predict what a unit is for: each unit dropped alone, and the damage held against every index.

    It costs as many passes through what follows a block as units are dropped: a thousand images (--limit) are a start.
    """
    from ..commands.lesions import MeasureLesions

    inputs = shared.take_inputs(networks, options, seed)
    request = MeasureLesions(inputs, shared.take_measuring(options, keep), units, stage, blocks, seed, means_from)
    execute("lesions", request, out, resume)


@main.command()
@click.argument("networks", nargs=-1, required=True, metavar="NETWORK...|RUN")
@shared.inputs
@shared.untrained
@shared.where
@shared.resampled
@shared.rectify
@shared.seed
@shared.running
@shared.keep
@shared.shares
@shared.out
def taps(networks, stage, blocks, rectify, seed, keep, out, resume, **more):
    """Where selectivity arises: the index at the branch, after the gate, at the sum and at the output of each block.

    A RUN is a folder with a recording of two of these taps at least: no network is run then.
    """
    from ..commands.taps import MeasureTaps, TapsFrom

    statistics = shared.take_statistics(more, seed)
    if recording := shared.recording_among(networks, "stage", "blocks", "rectify"):
        execute("taps", TapsFrom(recording, statistics), out, resume)
        return
    inputs = shared.take_inputs(networks, more, seed)
    measuring = shared.take_measuring(more, keep)
    execute("taps", MeasureTaps(inputs, measuring, statistics, stage, blocks, rectify), out, resume)


@main.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--groups", type=click.Path(path_type=Path), help="A csv: class, a column a level, finest first.")
@click.option("--wordnet", type=click.Path(path_type=Path), help="WordNet's is_a list, for ImageNet's classes.")
@click.option("--network", "networks", multiple=True, metavar="LABEL", help="Repeatable; all by default.")
@shared.recorded_tap
@click.option(
    "--permutations", type=click.IntRange(1), default=100, show_default=True, help="Of classes, and of images' labels."
)
@click.option("--replicates", type=click.IntRange(0), default=100, show_default=True, help="Of the bootstrap.")
@shared.seed
@shared.out
def levels(recording, out, resume, **options):
    """Class selectivity of groups of classes, level by level of a hierarchy, beside random groups as large.

    RECORDING is that of `gelens record`, or a run that kept one. One image of each class will do.
    """
    from ..commands.levels import Levels

    execute("levels", Levels(recording, **options), out, resume)


@main.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--network", "networks", multiple=True, metavar="LABEL", help="Repeatable; all by default.")
@shared.recorded_tap
@click.option(
    "--draws", type=click.IntRange(1), default=10, show_default=True, help="Of images, at each number of them."
)
@shared.seed
@shared.out
def rarefaction(recording, networks, tap, draws, seed, out, resume):
    """Class selectivity on 2, 5, 10 … images of each class: how much of the index is owed to their number.

    RECORDING is that of `gelens record`, or a run that kept one.
    """
    from ..commands.rarefaction import Rarefaction

    execute("rarefaction", Rarefaction(recording, networks, tap, draws, seed), out, resume)


@main.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORDING...")
@click.option("--network", "networks", multiple=True, metavar="LABEL", help="Twice: the two that are compared.")
@shared.recorded_tap
@shared.seed
@shared.out
def match(recordings, networks, tap, seed, out, resume):
    """Compare two networks on the same images, block with block and unit with unit, from recordings alone.

    RECORDING is one with two networks, or two of the same images; a run that kept its recording will do. Blocks are
    compared by linear CKA, units of blocks of one name by the correlation with their best match in the other network.
    """
    from ..commands.match import Match

    execute("match", Match(recordings, networks, tap, seed), out, resume)


@main.command()
@shared.networks
@shared.inputs
@shared.untrained
@shared.where
@click.option("--ratio", "ratios", type=float, multiple=True, help="A drop ratio, repeatable.  [default: 0, 0.1 … 1]")
@click.option("--order", "orders", multiple=True, help="most or least (important first); both by default.")
@click.option(
    "--score",
    "scores",
    multiple=True,
    help="gate (the paper's), random, activation, selectivity or gradient; repeatable.",
)
@click.option("--one-order", is_flag=True, help="One order for all images, by the mean score of --means-from.")
@click.option("--fill", default="zero", show_default=True, help="zero, or mean: that of the branch over --means-from.")
@click.option("--scope", default="block", show_default=True, help="Drop in each block alone, or in all of a stage.")
@click.option("--means-from", metavar="DATA", help="Other images than those measured, such as digits#train.")
@click.option(
    "--selectivity-from", type=click.Path(path_type=Path), metavar="RUN", help="Its index, for --score selectivity."
)
@click.option("--class-curves", "per_class", is_flag=True, help="Also write each class's own curves.")
@click.option("--exact", is_flag=True, help="Don't fold batch norm: bit for bit a plain loop at equal batch shapes.")
@click.option("--rows", type=click.IntRange(1), help="Images × variants in a forward pass, instead of by timing.")
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile.")
@shared.seed
@shared.running
@shared.keep
@shared.shares
@shared.out
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
