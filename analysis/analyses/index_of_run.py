"""The class selectivity index of another run's networks, which maps may be dropped by."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from torch import nn

from ..errors import UsageError
from ..networks.weights import network_card, network_differences
from ..results.run import read_record, read_table
from .run_folder import shown_by

log = logging.getLogger(__name__)


def index_of(
    source: Path | pd.DataFrame | None, networks: Mapping[str, nn.Module], images
) -> tuple[pd.DataFrame | None, frozenset[str]]:
    """Rows of `selectivity.csv`, networks named as here, and what the images show that it was measured on.

    Args:
        source: a finished run's folder, whose networks are known by their weights; or the table itself.
        images: that will be measured.

    Raises:
        UsageError: the run is of the same images, of groups or another tap, or has one of the networks not.
    """
    if not isinstance(source, Path):
        return source, frozenset()
    record, table = read_record(source), read_table(source, "selectivity.csv")
    if record["data"]["name"] == str(images):
        raise UsageError(f"the run in `{source}` measured {images}, as this one would; expected a run on other images")
    of = record["arguments"]
    if of.get("groups") or of.get("tap", "output") != "output":
        raise UsageError(f"the run in `{source}` is of groups of classes, or of another tap than output")
    tables = []
    for label, network in networks.items():
        theirs = _same_network(source, record["networks"], label, network_card(network))
        tables.append(table[table["network"] == theirs].assign(network=label))
    shown = shown_by(source)
    if shown is None:
        log.warning("the run in %s does not tell what its images show: they are known by the data's name alone", source)
    return pd.concat(tables, ignore_index=True), shown or frozenset()


def _same_network(folder: Path, known: Mapping[str, Mapping], label: str, card: Mapping) -> str:
    """The label of a network in another run."""
    weights = card["weights_hash"]
    differing = {
        theirs: network_differences(each, card) for theirs, each in known.items() if each.get("weights_hash") == weights
    }
    if not differing:
        raise UsageError(f"the run in `{folder}` has no network with the weights of {label}: hash {weights}")
    for theirs, found in differing.items():
        if not found:
            return theirs
    theirs, found = next(iter(differing.items()))
    raise UsageError(
        f"`{theirs}` of the run in `{folder}` has the weights of {label}, but other {' and '.join(found)}: expected a "
        f"run of this very network"
    )
