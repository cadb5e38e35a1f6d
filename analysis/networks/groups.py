"""Groups: several trainings of one network, as `NAME@GLOB`, `NAME@A,B,C` or `NAME@cifar10/*`."""

import glob
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import UsageError
from . import shipped
from .checkpoint_series import file_and_part
from .references import Reference

LONGEST_SEED = 100
"""Characters of a training's seed, as a file says it."""
_SEED = re.compile(r"seed[-_]?(\d+)")


def is_group(reference: Reference) -> bool:
    """Whether its weights are a pattern or several files, and no file of just that name.

    >>> from gelens.networks.references import parse
    >>> is_group(parse("mini_resnet@runs/*/weights.safetensors")), is_group(parse("mini_resnet:size=48@w.pth"))
    (True, False)
    """
    weights = reference.weights
    return weights is not None and bool(set(weights) & set("*?[,")) and not Path(weights).exists()


def trainings_of(reference: Reference) -> dict[int, Reference]:
    """The trainings of a group by their seeds, in order; nothing where it is no group.

    A seed is what the file's metadata say, as `gelens train` writes it, else what its name or its folder's says
    (`seed-3`), else its place among the files.

    Raises:
        UsageError: no files match, two have one seed, or a name cannot be found.
    """
    if not is_group(reference):
        return {}
    files: list[str] = []
    for part in filter(None, (part.strip() for part in str(reference.weights).split(","))):
        matches = _matches(reference.with_weights(part))
        if not matches:
            raise UsageError(f"no file matches `{part}` in the group `{reference}`; expected the weights of trainings")
        files += [file for file in matches if file not in files]
    told = {file: _seed_of(reference.with_weights(file)) for file in files}
    by_place = any(seed is None for seed in told.values())
    found: dict[int, Reference] = {}
    for place, (file, seed) in enumerate(told.items()):
        number = place if by_place or seed is None else seed
        if number in found:
            raise UsageError(
                f"`{found[number].weights}` and `{file}` of the group `{reference}` have both the seed {number}; "
                f"expected trainings that differ in it"
            )
        found[number] = reference.with_weights(file)
    return dict(sorted(found.items()))


def with_trainings(labelled: Mapping[str, Reference]) -> dict[str, Reference]:
    """References by label, with each training of a group, labelled GROUP#SEED, in the group's place.

    Raises:
        UsageError: another network has the label of a training.
    """
    found: dict[str, Reference] = {}
    for label, reference in labelled.items():
        trainings = trainings_of(reference)
        if not trainings:
            found[label] = reference
        for seed, each in trainings.items():
            if (member := f"{label}#{seed}") in labelled:
                raise UsageError(
                    f"`{member}` is the training of seed {seed} in the group `{label}`, and another network's label: "
                    f"expected another LABEL= for one of them"
                )
            found[member] = replace(each, label=member, group=label, seed=seed)
    return found


def check_trainings(known: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Refuse a group that has the same weights twice, however their files are named.

    Args:
        known: by label, the group and the hash of the weights.

    Raises:
        UsageError: two of a group are one training.
    """
    first: dict[tuple[str, str], str] = {}
    for label, (group, weights) in known.items():
        if group is not None and weights is not None and (other := first.setdefault((group, weights), label)) != label:
            raise UsageError(
                f"`{other}` and `{label}` of the group `{group}` are the same weights (hash {weights}); expected "
                f"trainings that differ"
            )


def weights_files(reference: Reference) -> dict[str, Path]:
    """By name, where the weights lie that a reference names, those of each training where it is a group.

    A file's name is its path; that of weights which come with gelens is the reference to them.
    """
    named = trainings_of(reference).values() or [reference]
    found = {}
    for each in named:
        path = shipped.weights_path(each)
        if path is not None:
            found[str(each) if shipped.is_shipped(each) else str(each.weights)] = path
    return found


def _matches(reference: Reference) -> list[str]:
    weights = str(reference.weights)
    if shipped.is_shipped(reference) and weights.endswith(shipped.EVERY):
        return [each.weights for each in shipped.trainings(reference)]
    if not set(weights) & set("*?["):
        return [weights]
    pattern, part = file_and_part(weights)
    return [f"{file}#{part}" if part else file for file in sorted(glob.glob(pattern, recursive=True))]


def _seed_of(reference: Reference) -> int | None:
    if (known := shipped.find(reference)) is not None:
        return known.seed
    file, said = Path(file_and_part(str(reference.weights))[0]), None
    if file.suffix == ".safetensors" and file.is_file():
        try:
            with safe_open(file, "pt") as opened:
                said = (opened.metadata() or {}).get("seed")
        except (SafetensorError, OSError):
            return None  # whoever loads it says what is wrong
    if said is None:
        match = _SEED.search(file.stem) or _SEED.search(file.parent.name)
        said = match and match[1]
    return int(said) if said is not None and said.isdecimal() and len(said) <= LONGEST_SEED else None
