"""Trained networks, and the optimisation curves of figure 1: recipes, and the loop that follows them."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from .. import processes
from ..data import ImageData, checked, load_data, preprocessing_for
from ..data.contents import changed_content, sampled_contents
from ..data.loading import reading_errors_told
from ..devices import check_precision, device_kind, fast_precision, is_accelerator, resolve_device
from ..differences import difference, image_differences
from ..errors import RunError, UsageError, need, unknown
from ..files import atomic_path
from ..interruption import termination_raised
from ..networks import load_network, save_weights
from ..networks.card import write_card
from ..networks.catalogue import NAMES
from ..networks.counting import count_parameters
from ..networks.references import Reference, parse
from ..networks.weights import code_hash, network_card, weights_hash
from ..progress import listed, size_in_words
from ..results.following import open_run
from ..results.run import Run, read_table
from .reading import steps_of
from .recipes import RECIPES, Recipe, check_recipe, recipe_of
from .regularizer import Pressure

log = logging.getLogger(__name__)

__all__ = ["RECIPES", "WEIGHTS", "Recipe", "recipe_of", "train"]

WEIGHTS = "weights.safetensors"


def train(
    reference: str,
    data: str,
    out: Path | str,
    recipe: Recipe | str = "small",
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    resume: bool = False,
    progress: bool = True,
    label: str | None = None,
    keep_epochs: bool | Sequence[float] = False,
    skip_unreadable: bool = False,
    limit: int | None = None,
    per_class: int | None = None,
    compiled: bool = False,
    selectivity: float = 0.0,
    selectivity_of: Sequence[str] = ("layer3",),
) -> pd.DataFrame:
    """Train a network and leave its weights, recipe and curves in a run's folder.

    After every epoch the state is saved and training.csv is written: an interrupted training goes on from there with
    `resume`, to the same end. Where no progress bar is shown, each epoch is logged in a line.
    The processes that torchrun starts share every batch; what differs then from one process is in `Loop`.

    Args:
        reference: the network; its number of classes is the data's unless the reference says otherwise.
        data: a data reference with a training and a validation split.
        out: the run's folder: training.csv, weights.safetensors, recipe.json, run.json.
        recipe: a `Recipe`, or the name of one of `RECIPES`.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu".
        precision: "fp32" (IEEE), "tf32", "bf16", "fp16", or "auto": bfloat16 where the device computes in it itself,
            else float32. Nothing is timed, so the same machine always chooses the same. What was chosen is said, is in
            run.json, and is taken again when a training goes on.
        workers: processes that decode images; where not given one a core for a GPU that has them decoded again and
            again, else none.
        label: the network's name in tables; its reference by default.
        keep_epochs: after how many epochs weights are kept, such as 0.25, 0.5, 1 and 2, as
            epochs/epoch-000.250.safetensors and so on; True keeps those of every epoch.
        skip_unreadable: leave out images that cannot be read, instead of stopping.
        limit, per_class: a class-balanced subset of each split, of so many images or of so many of each class, drawn
            by the recipe's seed.
        compiled: whether the step goes through torch.compile: a minute of compiling, then faster steps. Last bits
            differ from those of a training that is not compiled.
        selectivity: α of the loss, cross-entropy − α · mean class selectivity index of the batch (Leavitt and Morcos
            2020): above 0 it is promoted, below 0 held down. The loss told is the cross-entropy alone.
        selectivity_of: the blocks whose units' index that is, or stages, such as layer3.

    Returns:
        `training.csv`: network, epoch, split ("train", "val"), loss, top1_error, top5_error (percent), learning_rate
        (at the epoch's end). The training set's are running averages over the epoch, in training mode.

    Raises:
        UsageError: an unknown name, or a folder that holds something else or that another process writes into.
        RunError: images that cannot be read, a checkpoint that is damaged, or a loss that is no number any more.
        Terminated: SIGTERM came; the last epoch's state is kept.
    """
    need("accelerate", "train")
    from accelerate.utils import set_seed

    from .loop import SCALED, KeptEpochs, Loop

    if processes.launched():
        processes.join()
    parsed = parse(reference)
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise unknown("recipe", recipe, RECIPES)
        recipe = RECIPES[recipe]
    check_recipe(recipe)
    target = resolve_device(device)
    check_precision(precision, target, ("auto",))
    if precision == "fp16" and target.type not in SCALED:
        raise UsageError(
            f"training in fp16 needs a GPU ({', '.join(SCALED)}), not {target.type}; expected bf16 or fp32"
        )
    if selectivity and compiled:
        raise UsageError("a training with selectivity in its loss looks into blocks: it cannot be compiled")
    pressure = Pressure(selectivity, tuple(selectivity_of)) if selectivity else None
    if workers is None:
        workers = processes.cores() if is_accelerator(target) and recipe.padding is None else 0
    training, validation = _images(data, limit, per_class, recipe.seed, skip_unreadable, progress)
    set_seed(recipe.seed)
    network = _network(parsed, training)
    write_card(network, preprocessing=preprocessing_for(network, training), class_names=tuple(training.classes))
    arguments: dict[str, Any] = {"network": str(reference), "data": str(data), "recipe": asdict(recipe)}
    arguments |= {"precision": precision, "limit": limit, "per_class": per_class, "compiled": compiled}
    if pressure is not None:  # else as before there was such a thing, so that older trainings go on
        arguments |= {"selectivity": asdict(pressure)}
    arguments |= {"keep_epochs": keep_epochs if isinstance(keep_epochs, bool) else list(keep_epochs)}
    label = label or parsed.label or parsed.short
    with termination_raised(), open_run(out, "train", arguments, resume) as run:
        of = {"train": _known_of(training), "val": _known_of(validation), "network": _known_of_network(network)}
        _check_same(run, of)
        if run.finished:
            return processes.tell(read_table(run.folder, "training.csv") if processes.is_first() else None)
        if precision == "auto":
            precision = processes.tell(run.record.get("precision") or fast_precision(target))
            log.info("precision: %s, by what this %s computes in", precision, device_kind(target))
        described = {"name": str(data), "note": training.note, "images": len(training)}
        described |= {"train": training.fingerprint, "val": validation.fingerprint}
        before, now = run.record.get("processes", processes.number()), processes.number()
        if before != now:
            log.warning("begun by %d processes and now %d: batch norm sees other images of each batch", before, now)
        run.save(device=str(target), precision=precision, seed=recipe.seed, data=described, of=of, processes=now)
        loop = Loop(network, training, validation, recipe, target, precision, workers, progress, compiled, pressure)
        with run.timed("train"), _told_what_is_kept(run):
            kept = KeptEpochs(run.path("epochs"), keep_epochs)
            of_all = arguments | {"precision": precision} | of
            leave_curves = lambda history: run.write_table("training.csv", pd.DataFrame(history))
            history = loop.run(run.path("checkpoint.pt"), label, kept, of_all, leave_curves)
        table = pd.DataFrame(history)
        if processes.is_first():
            _leave(run, table, network, label, recipe, data)
        processes.wait()
    return table


@dataclass(frozen=True)
class Plan:
    """What a training would be; `steps` are of all epochs, `bytes` of the weights that are left."""

    network: str
    data: str
    images: dict[str, int]
    classes: int
    epochs: int
    steps: int
    parameters: int
    bytes: int
    device: str

    def __str__(self) -> str:
        steps = f"{self.epochs} epochs, {self.steps} steps"
        return listed(
            {
                "network": f"{self.network}, {self.parameters:,} parameters",
                "images": f"{self.images['train']} to train and {self.images['val']} to validate, of {self.data}",
                "classes": str(self.classes),
                "computed": f"{steps}, on {self.device}",
                "disk": f"{size_in_words(self.bytes)} of weights",
                "time": "not known before the first epoch, which tells what is left",
            }
        )


def planned(
    reference: str,
    data: str,
    recipe: Recipe,
    device: str = "auto",
    keep_epochs: bool | Sequence[float] = False,
    skip_unreadable: bool = False,
    limit: int | None = None,
    per_class: int | None = None,
) -> Plan:
    """What `train` would do with the same arguments; nothing is trained or written."""
    check_recipe(recipe)
    training, validation = _images(data, limit, per_class, recipe.seed, skip_unreadable, False)
    network = _network(parse(reference), training)
    kept = recipe.epochs if keep_epochs is True else len(keep_epochs or ())
    size = sum(each.numel() * each.itemsize for each in network.state_dict().values())
    return Plan(
        reference,
        str(data),
        {"train": len(training), "val": len(validation)},
        len(training.classes),
        recipe.epochs,
        recipe.epochs * steps_of(len(training), recipe),
        count_parameters(network),
        (1 + kept) * size,
        str(resolve_device(device)),
    )


def _images(
    data: str, limit: int | None, per_class: int | None, seed: int, skip_unreadable: bool, progress: bool
) -> tuple[ImageData, ImageData]:
    """Both splits; arguments as of `train`."""
    training, validation = (load_data(data, split) for split in ("train", "val"))
    if training.split != "train" or validation.split != "val":
        raise UsageError(
            f"training needs both splits of the data, train and val, but `{data}` gives "
            f"{training.split or 'one without a name'} alone; name data that has both, without a split"
        )
    if limit is not None or per_class is not None:
        training, validation = (each.limited(limit, per_class, seed) for each in (training, validation))
    training, validation = (checked(each, skip_unreadable, progress) for each in (training, validation))
    return training, validation.labelled_as(training.classes)


def _network(reference: Reference, training: ImageData) -> nn.Module:
    """The network with as many outputs as there are classes, unless it says otherwise."""
    outputs = {"classes": len(training.classes)} if reference.name in NAMES else {}
    return load_network(reference, **outputs)


def _leave(run: Run, table: pd.DataFrame, network: nn.Module, label: str, recipe: Recipe, data: str) -> None:
    """Write what a training has come to."""
    run.write_table("training.csv", table)
    with atomic_path(run.path(WEIGHTS)) as temporary:
        save_weights(network, temporary, data=str(data), seed=str(recipe.seed))
    with atomic_path(run.path("recipe.json")) as temporary:
        temporary.write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    write_card(network, notes=[], training_seed=recipe.seed)
    run.add_network(label, network_card(network))
    run.save()
    run.path("checkpoint.pt").unlink(missing_ok=True)
    run.finish()


def _known_of(images: ImageData) -> dict:
    return {"parts": images.parts, "contents": sampled_contents(images)}


def _known_of_network(network: nn.Module) -> dict:
    """Its weights before the first step, which are drawn by the seed or read from a file, and its code."""
    return {"weights": weights_hash(network), "code": code_hash(network)}


def _check_same(run: Run, now: Mapping) -> None:
    """A training goes on with the images and the network that it was begun with.

    Raises:
        UsageError: they are others; the message says which.
    """
    before = run.record.get("of")
    if before is None:
        return
    for split in ("train", "val"):
        then, today = before[split], now[split]
        if then["parts"] != today["parts"]:
            others = image_differences(then["parts"], today["parts"])
            raise UsageError(f"`{run.folder}` was started on other {split} images: {others}; choose another folder")
        if changed := changed_content(then["contents"], today["contents"]):
            raise UsageError(
                f"`{run.folder}` was started on other {split} images: the content of image `{changed}` has changed; "
                f"choose another folder"
            )
    if before["network"] != now["network"]:
        others = difference("network", before["network"], now["network"])
        raise UsageError(f"`{run.folder}` was started with another network: {others}; choose another folder")


@contextmanager
def _told_what_is_kept(run: Run) -> Iterator[None]:
    """What goes wrong in the with-block is said with a word on what is kept."""
    try:
        with reading_errors_told():
            yield
    except RunError as error:
        if not run.path("checkpoint.pt").exists():
            raise
        raise RunError(f"{error}. The state after the last whole epoch is kept in `{run.folder}`") from error
