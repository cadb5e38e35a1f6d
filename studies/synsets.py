"""Groups of Tiny ImageNet's classes from WordNet 3.0, for `gelens levels --groups`:

    python -m studies.synsets data.noun classes.txt > studies/tinyimagenet100/classes.csv

ImageNet's classes are WordNet's nouns by their place in `data.noun`, whose format is wndb(5WN). At each level a class
belongs to the first of the level's synsets that it is a kind of.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import click

FOOD = {"00021265": "food", "07555863": "food"}
LANDSCAPE = {"09287968": "landscape"}
FAMILIES = {
    "01861778": "mammal",
    "01471682": "other vertebrate",
    "01767661": "arthropod",
    "01905661": "other invertebrate",
    "03100490": "vehicle",
    "03051540": "clothing",
    "03094503": "container",
    "03183080": "device",
    "04341686": "structure",
    **FOOD,
    **LANDSCAPE,
    "03575240": "other instrument",
    "00021939": "other artifact",
}
KINDS = {"00015388": "animal", "00021939": "artifact", **FOOD, **LANDSCAPE}
LEVELS = {"family": FAMILIES, "kind": KINDS}
"""By level, the finest first, the names of its groups by synset."""


def hypernyms(file: Path) -> dict[str, list[str]]:
    """By synset, those that it is a kind of."""
    found = {}
    for line in file.read_text(encoding="latin-1").splitlines():
        if not line.startswith(" "):  # the licence
            fields = line.split()
            words = int(fields[3], 16)
            pointers = fields[5 + 2 * words :]
            kinds = zip(pointers[::4], pointers[1::4], strict=False)
            number = int(fields[4 + 2 * words])
            found[fields[0]] = [synset for kind, synset in list(kinds)[:number] if kind.startswith("@")]
    return found


def above(synset: str, kinds: Mapping[str, list[str]]) -> set[str]:
    """The synset, and all that it is a kind of."""
    return {synset}.union(*(above(each, kinds) for each in kinds[synset]))


@click.command(help=__doc__)
@click.argument("nouns", type=click.Path(exists=True, path_type=Path))
@click.argument("classes", type=click.Path(exists=True, path_type=Path))
def main(nouns: Path, classes: Path) -> None:
    kinds = hypernyms(nouns)
    writer = csv.writer(click.get_text_stream("stdout"), lineterminator="\n")
    writer.writerow(["class", *LEVELS])
    for line in classes.read_text(encoding="utf-8").splitlines():
        identifier, _, words = line.partition("\t")
        mine = above(identifier.removeprefix("n"), kinds)
        groups = [next(name for synset, name in level.items() if synset in mine) for level in LEVELS.values()]
        writer.writerow([words.split(",")[0], *groups])


if __name__ == "__main__":
    main()
