"""What a study trains: a list that is data, in its folder's study.toml, and where what is finished lies."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gelens.errors import UsageError, unknown
from gelens.networks import shipped
from gelens.networks.weights import is_what_was_written
from gelens.training import Recipe, recipe_of
from studies.contrasts import Contrast

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Training:
    """A network to train with a seed.

    Args:
        network: of the catalogue, with the settings that tell it from the study's others.
        seed: of the training.
        keep: the epochs after which its weights are kept.
    """

    network: str
    seed: int
    keep: tuple[float, ...] = field(default=())

    @property
    def name(self) -> str:
        """A folder's and a file's name.

        >>> Training("thin_resnet50_ge_theta_minus:extent=4,pool=max", 1).name
        'thin_resnet50_ge_theta_minus-extent=4-pool=max/seed-1'
        """
        return f"{self.network.replace(':', '-').replace(',', '-')}/seed-{self.seed}"

    @property
    def gains_by_compiling(self) -> bool:
        """Networks with global parametric gathers do not: on a CPU their compiled step takes 1.5 times as long.

        >>> Training("thin_resnet50_se", 0).gains_by_compiling, Training("thin_resnet50_ge_theta", 0).gains_by_compiling
        (True, False)
        """
        return not self.network.endswith(("ge_theta", "ge_theta_plus"))


@dataclass(frozen=True)
class Measurement:
    """A command of gelens on groups of finished trainings.

    Args:
        name: of its folder, and of what it found on the study's page.
        command: of gelens.
        networks: whose finished trainings it takes, each network's as a group.
        options: of the command, beside the networks, the data and the folder.
        first: only the first finished training of each network, by itself.
        fewest: networks with a finished training without which it waits.
        others: whether the training images are those of --means-from.
        most: images that it takes at most, where each costs much.
        figures, tables: that the study keeps; of figures, patterns of names without their ending.
        claims: whether what it claims answers questions of the study; else it is described alone.
        asked: by column of its claims, the value of those that the protocol asks for; the others are described.
    """

    name: str
    command: str
    networks: Sequence[str]
    options: Sequence[str] = ()
    first: bool = False
    fewest: int = 1
    others: bool = False
    most: int | None = None
    figures: Sequence[str] = ()
    tables: Sequence[str] = ()
    claims: bool = True
    asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def most_of_each(self) -> int | None:
        """How many trainings of each network it takes; None for all."""
        return 1 if self.first else None


@dataclass(frozen=True)
class Study:
    """A study's trainings, and how all of them are run.

    Everything that weights depend on is stated here: nothing is chosen by how fast a machine is.

    Args:
        name: of its folder, of the collection of its weights, and of its data.
        trainings: in the order in which they are run.
        recipe: the name of one of `gelens.training.RECIPES`.
        precision: of `gelens.training.train`.
        licence: of the weights.
        note: of the images.
        settings: of every network, as a reference has them, such as "size=64,classes=100".
        epochs: instead of the recipe's.
        limit: images of each split, instead of all.
        compiled: whether networks that gain by it are compiled.
        measurements: of the finished ones.
        contrasts: claims about errors.
        numbers: how many numbers the study's questions ask for.
        curves: the networks whose optimisation curves are drawn.
        exploratory: seeds whose trainings may be looked at to choose how something is shown; others confirm.
    """

    name: str
    trainings: tuple[Training, ...]
    recipe: str
    precision: str
    licence: str
    note: str
    settings: str = ""
    epochs: int | None = None
    limit: int | None = None
    compiled: bool = True
    measurements: tuple[Measurement, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    numbers: int = 0
    curves: Sequence[str] = ()
    exploratory: tuple[int, ...] = ()

    @property
    def described(self) -> set[str]:
        """The names of measurements that are described, without claims."""
        return {each.name for each in self.measurements if not each.claims}

    @classmethod
    def read(cls, folder: Path) -> "Study":
        """The study of a folder.

        Raises:
            UsageError: it has no study.toml, or one that cannot be meant.
        """
        path = folder / "study.toml"
        if not path.is_file():
            raise UsageError(f"`{folder}` has no study.toml that lists its trainings")
        try:
            stated = tomllib.loads(path.read_text())
            groups = stated.pop("trainings")
            trainings = tuple(
                Training(network, seed, tuple(group.get("keep", ())))
                for group in groups
                for seed in group["seeds"]
                for network in group["networks"]
            )
            measurements = tuple(Measurement(**each) for each in stated.pop("measurements", ()))
            contrasts = tuple(Contrast(**each) for each in stated.pop("contrasts", ()))
            stated["exploratory"] = tuple(stated.pop("exploratory", ()))
            return cls(folder.name, trainings, measurements=measurements, contrasts=contrasts, **stated)
        except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
            raise UsageError(f"`{path}` cannot be read as a study: {type(error).__name__}: {error}") from error

    def reference(self, training: Training) -> str:
        """The network of a training, with every setting that the study states.

        >>> study = Study.read(HERE / "tinyimagenet100")
        >>> study.reference(Training("thin_resnet50_ge_theta_minus:extent=4,pool=max", 0))
        'thin_resnet50_ge_theta_minus:extent=4,pool=max,size=64,classes=100'
        """
        return self.reference_of(training.network)

    def reference_of(self, network: str) -> str:
        """A network of the study with every setting that the study states."""
        separator = "," if ":" in network else ":"
        return network + (separator + self.settings if self.settings else "")

    def label_of(self, network: str) -> str:
        """What tables call a network: as the study lists it where that can be a label, else with all settings."""
        return self.reference_of(network) if ":" in network else network

    def recipe_for(self, training: Training) -> Recipe:
        return recipe_of(self.recipe, seed=training.seed, epochs=self.epochs)

    @property
    def weights(self) -> Path:
        """Where what is finished lies: the collection of weights that come with gelens, the whole of it in a clone."""
        return shipped.FOLDER / self.name

    def finished(self, network: str, weights: Path, confirming: bool | None = None) -> list[Path]:
        """The weights of a network's finished trainings, by seed.

        Args:
            confirming: only those that confirm, or only those that explore; both where not given.
        """
        trainings = sorted((each for each in self.trainings if each.network == network), key=lambda each: each.seed)
        return [
            weights / f"{each.name}.safetensors"
            for each in trainings
            if is_finished(each, weights) and confirming in (None, each.seed not in self.exploratory)
        ]


def studies() -> list[str]:
    """The names of all studies."""
    return sorted(path.parent.name for path in HERE.glob("*/study.toml"))


def study_named(name: str) -> Study:
    """A study by its name, or by its folder.

    Raises:
        UsageError: there is none.
    """
    if name in studies():
        return Study.read(HERE / name)
    if Path(name).is_dir():
        return Study.read(Path(name))
    raise unknown("study", name, studies())


def is_finished(training: Training, weights: Path) -> bool:
    return (weights / f"{training.name}.json").is_file()


def check_finished(study: Study, weights: Path) -> None:
    """Refuse to add trainings to those made in another way, or to go on beside weights that have been changed.

    Raises:
        UsageError: naming the first such file.
    """
    for training in study.trainings:
        if not is_finished(training, weights):
            continue
        path = weights / f"{training.name}.json"
        facts = json.loads(path.read_text())
        wanted = json.loads(json.dumps(asdict(study.recipe_for(training)))) | {"precision": study.precision}
        have = facts["settings"] | {"precision": facts["precision"]}
        differing = {name: value for name, value in have.items() if wanted.get(name) != value}
        if differing:
            told = ", ".join(f"{name} {value} instead of {wanted.get(name)}" for name, value in differing.items())
            raise UsageError(f"`{path}` was trained otherwise ({told}); give --out another folder, or state that")
        if not is_what_was_written(path.with_suffix(".safetensors"), facts["weights"]):
            raise UsageError(f"`{path.with_suffix('.safetensors')}` is not what `{path.name}` is of; move both away")
