"""An analysis: what a person may ask of networks.

A frozen dataclass whose fields are its options, with help and choices: the command line, `run.json` and what `--resume`
compares are made from them. It says what a pass must keep of a network, which tables come of a recording, and what may
be said of them. One mechanism (`running`) runs every analysis, on networks and images or on recordings alike.

Nothing heavy is imported here: `gelens --help` lists the analyses.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ..choices import TAPS
from ..names import blocks_as_in_papers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import nn

    from ..data import ImageData
    from ..recording import Recording
    from ..tables.selectivity import Statistics
    from .requests import Request

MEASURED, STATISTIC, OWN, RUN = "What is measured", "Statistics", "Options", "The run"
"""Sections of a command's help."""

Results = dict[str, "pd.DataFrame | dict[str, np.ndarray]"]
"""By file name: tables (.csv) and named arrays (.npz) of a run's folder."""


@dataclass(frozen=True)
class Option:
    """How a field is given on the command line.

    Args:
        help: a sentence.
        flags: instead of the field's name.
        choices: what it may be.
        least: the smallest that it may be.
        kind: "data" or "file", for text that names one.
        metavar: what stands for the value in the help.
        section: of the help.
        several: whether it may be given several times.
        of_a_pass: whether a recording has answered it already, so that it is refused there.
    """

    help: str
    flags: tuple[str, ...] = ()
    choices: Sequence[str] = ()
    least: int | None = None
    kind: str = ""
    metavar: str | None = None
    section: str = OWN
    several: bool = False
    of_a_pass: bool = False


def option(default: Any, help: str, *flags: str, **settings: Any) -> Any:
    """A field of an analysis; arguments as of `Option`."""
    return field(default=default, metadata={"option": Option(help, flags, **settings)})


def options_of(kind: "type[Analysis]") -> "dict[Field, Option]":
    """The fields of an analysis that are options, in order."""
    return {each: each.metadata["option"] for each in fields(kind) if "option" in each.metadata}


def default_of(each: Field) -> Any:
    """A field's default."""
    return each.default if each.default is not MISSING else None


@dataclass(frozen=True, kw_only=True)
class Analysis(ABC):
    """What a person may ask of networks; a new one is a subclass with fields made by `option`, and these methods.

    The first line of its docstring is what the list of commands says, the rest what its help says.
    """

    name: ClassVar[str]
    """Of its command."""
    example: ClassVar[str] = ""
    table: ClassVar[str] = ""
    """The main one, without its ending; the first by default."""
    claims: ClassVar[Sequence[str]] = ()
    """Tables that its sentences are about."""
    figure: ClassVar[str] = ""
    """The main one, or what its name begins with; the first that its tables allow by default."""
    compared: ClassVar[int] = 0
    """So many networks are compared with each other, from one recording or one of each; 0 where none are."""
    states_parts: ClassVar[bool] = False
    """Whether it needs blocks' branches, shortcuts or gates, which a person may state."""
    tells_accuracy: ClassVar[bool] = False
    """Whether `evaluation.csv` is among what it makes of a recording; what is made of networks always has it."""

    seed: int = option(0, "Random seed.", least=0, section=RUN)

    def arguments(self) -> dict:
        """What results depend on beside networks and images."""
        return {each.name: getattr(self, each.name) for each in options_of(type(self))}

    def check(self, networks: "Mapping[str, nn.Module]", images: "ImageData") -> None:
        """Before the pass: raise a UsageError for what can be seen not to work."""
        return None

    def others(self) -> Any:
        """The data of other images of which something must be known before the pass; None where nothing must."""
        return None

    def requests_of_others(self, networks: "Mapping[str, nn.Module]", images: "ImageData") -> "dict[str, Request]":
        """What is kept of those other images, by label."""
        return {}

    @abstractmethod
    def requests(
        self, networks: "Mapping[str, nn.Module]", images: "ImageData", others: "Recording | None" = None
    ) -> "dict[str, Request]":
        """What a pass keeps of each network, by label; a network without a request is left out.

        Args:
            images: that will be measured.
            others: what was recorded of other images.
        """

    @abstractmethod
    def results(self, recording: "Recording") -> Results:
        """Tables and arrays by file name, of all networks of a finished recording; those without rows are left out."""

    def facts(self, recording: "Recording") -> dict:
        """What run.json says beside what it says of every analysis."""
        return {}

    def pictures(self, results: Results, images: "ImageData", recording: "Recording") -> Results:
        """Further arrays, for figures that show the images themselves."""
        return {}

    def sentences(self, results: Results, cards: Mapping[str, Mapping]) -> Iterable[str]:
        """What may be said of the results, and no more.

        Args:
            cards: of the networks, by label, as run.json has them.
        """
        return ()

    def said(self, results: Results, cards: Mapping[str, Mapping]) -> list[str]:
        """The sentences, with blocks called as figures call them."""
        with blocks_as_in_papers(all(card.get("resnet_stages", True) for card in cards.values())):
            return list(self.sentences(results, cards))


def check_labels(images: "ImageData") -> None:
    """There are two classes at least: seen before the pass, not after it."""
    from ..data.adapting import known_labels
    from ..tables.selectivity import check_classes

    labels = known_labels(images)
    if labels is not None:
        check_classes(labels)


def with_rows(tables: "Mapping[str, pd.DataFrame]") -> Results:
    """Those of some tables that have rows."""
    return {name: table for name, table in tables.items() if len(table)}


@dataclass(frozen=True, kw_only=True)
class OfBlocks:
    """Options of an analysis of some blocks."""

    stage: int | None = option(
        None,
        "Stage to measure; 4 is conv4_x (layer3).  [default: 4, or the last but one of fewer]",
        metavar="N",
        section=MEASURED,
        of_a_pass=True,
    )
    blocks: Sequence[str] = option(
        (),
        "Modules to measure instead of a stage, such as layer3.*; repeatable.",
        metavar="NAME",
        section=MEASURED,
        several=True,
        of_a_pass=True,
    )

    def blocks_of(self, network: "nn.Module") -> list[str]:
        """The names of the blocks of a network."""
        from ..anatomy.sites import resolve_blocks

        return resolve_blocks(network, self.stage, self.blocks)


@dataclass(frozen=True, kw_only=True)
class OfTap:
    """The option of a tap."""

    tap: str = option("output", "Tap to measure.", choices=TAPS, section=MEASURED)


@dataclass(frozen=True, kw_only=True)
class Rectified:
    """The option of the positive part."""

    rectify: bool = option(False, "Use the positive part of signed activities.", section=MEASURED, of_a_pass=True)


@dataclass(frozen=True, kw_only=True)
class Selective(Analysis):
    """An analysis of selectivity, with its null and errors."""

    permutations: int = option(
        100, "Number of label permutations for the null distribution.", least=0, metavar="N", section=STATISTIC
    )
    replicates: int = option(100, "Number of bootstrap replicates.", least=0, metavar="N", section=STATISTIC)

    @property
    def statistics(self) -> "Statistics":
        """How selectivity is computed."""
        from ..tables.selectivity import Statistics

        return Statistics(self.seed, self.permutations, self.replicates)

    def check(self, networks, images) -> None:
        check_labels(images)


@dataclass(frozen=True, kw_only=True)
class Activities(Rectified, OfTap, OfBlocks, Analysis):
    """An analysis of the activity of blocks' units at one tap."""

    def check(self, networks, images) -> None:
        check_labels(images)

    def requests(self, networks, images, others=None):
        from .requests import Request

        return {
            label: Request(network, self.blocks_of(network), (self.tap,), self.rectify)
            for label, network in networks.items()
        }
