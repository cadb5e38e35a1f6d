"""Copies finished trainings of the study into the package, as the weights that come with gelens.

    python -m studies.cifar10.ship

The first seed of every network that a figure of the paper needs, then further seeds of the networks of figures 2 and 3,
as far as 12 MB allow; the rest where room is left.
"""

import json
import shutil
from pathlib import Path

import click

from gelens.files import atomic_path
from gelens.networks import shipped
from studies.cifar10.train import HERE, LAST, TRAININGS, Training, is_finished

MOST = 12_000_000 - 100_000
"""Bytes that all of them may have together, cards that grow by a licence and a note among them."""

SUFFIXES = (".safetensors", ".csv", ".json")

LICENCE = "MIT; trained on CIFAR-10 (Krizhevsky 2009), whose images have no licence of their own"

NOTE = "CIFAR-10 after JPEG of about quality 75; accuracy on its 10,000 test images, likewise"
"""Of the images, so that nobody expects the accuracy on the original ones."""


def chosen(weights: Path) -> list[Training]:
    """The finished trainings that are shipped, while there is room: first seeds first, else in the list's order."""
    found, size = [], 0
    for training in sorted(TRAININGS, key=lambda each: (each.network in LAST, each.seed > 0)):
        if not is_finished(training, weights):
            continue
        own = sum((weights / f"{training.name}{suffix}").stat().st_size for suffix in SUFFIXES)
        if size + own <= MOST:
            found.append(training)
            size += own
    return found


@click.command()
@click.option("--weights", type=click.Path(path_type=Path), default=HERE / "weights", help="Of finished trainings.")
@click.option("--out", type=click.Path(path_type=Path), default=shipped.FOLDER / "cifar10", help="The collection.")
def main(weights, out):
    """Make the collection anew."""
    shutil.rmtree(out, ignore_errors=True)
    for training in chosen(weights):
        source, target = weights / training.name, out / training.name
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in SUFFIXES[:2]:
            shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")
        card = json.loads(source.with_suffix(".json").read_text()) | {"licence": LICENCE}
        card["data"] |= {"note": NOTE}
        with atomic_path(target.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(card, indent=2) + "\n")
        click.echo(f"{training.name}: {card['top1_accuracy']} %")


if __name__ == "__main__":
    main()
