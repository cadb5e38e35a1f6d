"""Recipes and the loop that produces trained networks and the optimisation curves of figure 1."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from timm.data import create_transform
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

from analysis.data import ImageData, batches, checked, load_data
from analysis.errors import UsageError, unknown
from analysis.files import atomic_path, save_tensors
from analysis.networks import load_network, preprocessing_of, save_weights
from analysis.randomness import hashes
from analysis.references import parse
from analysis.results import Run
from analysis.sweep import resolve_device

MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with momentum on cross-entropy, no weight decay on batch norm and biases.

    Args:
        epochs: passes over the training set.
        batch_size: images in a step.
        learning_rate: at its highest.
        momentum: of SGD.
        weight_decay: of weights other than batch norm's and biases.
        schedule: "onecycle" (rises over the first 30 %, falls by a cosine to nothing) or "step" (÷ 10 every 30 epochs).
        crop_area: range of a random crop's share of the image's area.
        crop_aspect: range of its aspect ratio.
        flip: probability of a horizontal flip.
        seed: of the initialisation, the order and the augmentation.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "onecycle"
    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    seed: int = 0


RECIPES = {
    # scans of digits have a left and a right, and little to crop away
    "small": Recipe(8, 32, 0.05, weight_decay=5e-4, crop_area=(0.8, 1.0), crop_aspect=(0.9, 1.1), flip=0.0),
    # the paper's ImageNet recipe, recalled from the main paper
    "imagenet": Recipe(100, 256, 0.1, schedule="step"),
}


class _Augmented(Dataset):
    """Training images as normalised tensors, cropped and flipped at random."""

    def __init__(self, data: ImageData, recipe: Recipe, preprocessing):
        self.data = data
        self.transform = create_transform(
            preprocessing.size,
            is_training=True,
            scale=recipe.crop_area,
            ratio=recipe.crop_aspect,
            hflip=recipe.flip,
            color_jitter=None,
            interpolation=preprocessing.interpolation,
            mean=preprocessing.mean,
            std=preprocessing.std,
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        image, label, _ = self.data[position]
        return self.transform(image), label


def train(
    reference: str,
    data: str,
    out: Path | str,
    recipe: Recipe | str = "small",
    device: str = "auto",
    precision: str = "fp32",
    workers: int = 0,
    resume: bool = False,
    progress: bool = True,
    label: str | None = None,
    keep_epochs: bool = False,
    skip_unreadable: bool = False,
) -> pd.DataFrame:
    """Train a network and leave its weights, recipe and curves in a run's folder.

    After every epoch the state is saved: an interrupted training goes on from there with `resume`, to the same end.

    Args:
        reference: the network; its number of classes is the data's unless the reference says otherwise.
        data: a data reference with a training and a validation split.
        out: the run's folder: training.csv, weights.safetensors, recipe.json, run.json.
        recipe: a `Recipe`, or "small" or "imagenet".
        device: "auto", "cpu", "cuda" or "mps".
        precision: "fp32", "bf16" or "fp16".
        workers: processes that decode images.
        label: the network's name in tables; its reference by default.
        keep_epochs: whether every epoch's weights are kept, as epochs/epoch-001.safetensors and so on.
        skip_unreadable: leave out images that cannot be read, instead of stopping.

    Returns:
        `training.csv`: network, epoch, split ("train", "val"), loss, top1_error, top5_error (percent), learning_rate
        (at the epoch's end). The training set's are running averages over the epoch, in training mode.

    Raises:
        UsageError: an unknown name, or a folder that holds something else.
    """
    parsed = parse(reference)
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise unknown("recipe", recipe, RECIPES)
        recipe = RECIPES[recipe]
    if precision not in MIXED_PRECISION:
        raise unknown("precision", precision, MIXED_PRECISION)
    target = resolve_device(device)
    training, validation = (checked(load_data(data, split), skip_unreadable, progress) for split in ("train", "val"))
    if training.split != "train" or validation.split != "val":
        raise UsageError(
            f"training needs both splits of the data, train and val, but `{data}` gives "
            f"{training.split or 'one without a name'} alone; name data that has both, without a split"
        )
    set_seed(recipe.seed)
    network = load_network(parsed, classes=len(training.classes))
    network.preprocessing = preprocessing_of(network)
    run = Run(
        out,
        "train",
        {"network": str(reference), "data": str(data), "recipe": asdict(recipe), "precision": precision},
        resume,
    )
    if run.finished:
        return pd.read_csv(run.path("training.csv"))
    run.save(device=str(target), precision=precision, seed=recipe.seed)
    loop = _Loop(network, training, validation, recipe, target, precision, workers, progress)
    label = label or parsed.architecture
    with run.timed("train"):
        history = loop.run(run.path("checkpoint.pt"), label, run.path("epochs") if keep_epochs else None)
    table = pd.DataFrame(history)
    run.write_table("training.csv", table)
    with atomic_path(run.path(WEIGHTS)) as temporary:
        save_weights(network, temporary, data=str(data), seed=str(recipe.seed))
    with atomic_path(run.path("recipe.json")) as temporary:
        temporary.write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    network.notes, network.training_seed = [], recipe.seed
    run.add_network(label, network)
    described = {"name": str(data), "note": training.note, "images": len(training)}
    run.save(data=described | {"train": training.fingerprint, "val": validation.fingerprint})
    run.path("checkpoint.pt").unlink(missing_ok=True)
    run.finish()
    return table


class _Loop:
    """accelerate's training loop over one network, with our own safe checkpoint."""

    def __init__(self, network, training, validation, recipe, device, precision, workers, progress):
        self.recipe, self.progress, self.validation, self.workers = recipe, progress, validation, workers
        self.preprocessing = network.preprocessing
        AcceleratorState._reset_state()  # else a second training of this process could not have another precision
        self.accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=MIXED_PRECISION[precision])
        self.order = torch.Generator()
        self.loader = DataLoader(
            _Augmented(training, recipe, network.preprocessing),
            recipe.batch_size,
            shuffle=True,
            generator=self.order,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            # batch norm over a single gathered value has no variance
            drop_last=len(training) % recipe.batch_size == 1,
        )
        optimizer = torch.optim.SGD(
            param_groups_weight_decay(network, recipe.weight_decay), recipe.learning_rate, momentum=recipe.momentum
        )
        network.to(memory_format=torch.channels_last)
        # our own order and seeds resume exactly; accelerate would draw its own
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.scheduler = self._schedule(len(self.loader))
        outputs = network(torch.zeros(2, 3, network.preprocessing.size, network.preprocessing.size).to(device)).shape[1]
        self.metrics = MetricCollection(
            {
                "top1_error": MulticlassAccuracy(outputs, top_k=1, average="micro", validate_args=False),
                "top5_error": MulticlassAccuracy(outputs, top_k=min(5, outputs), average="micro", validate_args=False),
            }
        ).to(self.accelerator.device)
        self.loss = MeanMetric(nan_strategy="disable").to(self.accelerator.device)

    def _schedule(self, steps: int):
        if self.recipe.schedule == "step":
            return torch.optim.lr_scheduler.StepLR(self.optimizer.optimizer, 30 * steps, gamma=0.1)
        if self.recipe.schedule != "onecycle":
            raise unknown("schedule", self.recipe.schedule, ("onecycle", "step"))
        return torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer.optimizer,
            self.recipe.learning_rate,
            total_steps=self.recipe.epochs * steps + 1,
            cycle_momentum=False,
        )

    def run(self, checkpoint: Path, label: str, epochs: Path | None = None) -> list[dict]:
        history = self._restore(checkpoint)
        done = history[-1]["epoch"] if history else 0
        steps = len(self.loader)
        with tqdm(
            total=self.recipe.epochs * steps,
            initial=done * steps,
            desc=label,
            unit="step",
            mininterval=0.5,
            disable=not self.progress,
        ) as bar:
            for epoch in range(done + 1, self.recipe.epochs + 1):
                # each epoch draws from seeds of its own, so that one resumed is one never interrupted
                seed = int(hashes(self.recipe.seed, "epoch", np.array(epoch))) % 2**31
                set_seed(seed)
                self.order.manual_seed(seed)
                for split, seen in (("train", self._epoch(bar)), ("val", self._validate())):
                    history.append(
                        {"network": label, "epoch": epoch, "split": split}
                        | self._errors(seen)
                        | {"learning_rate": self.optimizer.param_groups[0]["lr"]}
                    )
                bar.set_postfix_str(f"val error {history[-1]['top1_error']:.1f} %")
                if epochs:
                    with atomic_path(epochs / f"epoch-{epoch:03}.safetensors") as temporary:
                        save_weights(self.accelerator.unwrap_model(self.network), temporary, epoch=str(epoch))
                self._save(checkpoint, history)
        return history

    def _epoch(self, bar) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        self.network.train()
        device = self.accelerator.device
        for images, labels in self.loader:
            images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            labels = labels.to(device, non_blocking=True)
            with self.accelerator.autocast():
                logits = self.network(images)
                loss = nn.functional.cross_entropy(logits, labels)
            self.accelerator.backward(loss)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
            bar.update()
            yield loss.detach(), logits.detach(), labels

    @torch.no_grad()
    def _validate(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        self.network.eval()
        device = self.accelerator.device
        for batch in batches(self.validation, [self.preprocessing.geometry], self.recipe.batch_size, self.workers):
            images = batch.images[self.preprocessing.geometry].to(device, non_blocking=True)
            images = self.preprocessing.normalize(images).contiguous(memory_format=torch.channels_last)
            labels = batch.labels.to(device, non_blocking=True)
            with self.accelerator.autocast():
                logits = self.network(images)
                loss = nn.functional.cross_entropy(logits, labels)
            yield loss, logits, labels

    def _errors(self, seen) -> dict[str, float]:
        self.metrics.reset()
        self.loss.reset()
        for loss, logits, labels in seen:
            self.loss.update(loss, weight=len(labels))
            self.metrics.update(logits.float(), labels)
        errors = {name: 100 * (1 - float(value)) for name, value in self.metrics.compute().items()}
        return {"loss": float(self.loss.compute())} | errors

    def _save(self, path: Path, history: list[dict]) -> None:
        state = {
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.scheduler.last_epoch,
            "history": history,
        }
        save_tensors(path, state)

    def _restore(self, path: Path) -> list[dict]:
        if not path.exists():
            return []
        # not accelerate's load_state, which unpickles whatever the file holds
        saved = torch.load(path, map_location="cpu", weights_only=True)
        self.accelerator.unwrap_model(self.network).load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.last_epoch = saved["steps"]
        return saved["history"]


def recipe_of(name: str, **changes) -> Recipe:
    """A named recipe with changes: those that are None are left as they are.

    >>> recipe_of("imagenet", epochs=2, seed=None).epochs
    2

    Raises:
        UsageError: no such recipe, or fewer than one epoch.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    recipe = replace(RECIPES[name], **{key: value for key, value in changes.items() if value is not None})
    if recipe.epochs < 1 or recipe.batch_size < 2 or recipe.learning_rate <= 0:
        raise UsageError(
            f"a recipe needs at least 1 epoch, 2 images in a batch and a learning rate above 0, but got "
            f"{recipe.epochs}, {recipe.batch_size} and {recipe.learning_rate}"
        )
    return recipe
