"""The loop that trains a network."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, broadcast, set_seed
from timm.optim import param_groups_weight_decay
from torch import nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from .. import processes
from ..data import ImageData, batches
from ..data.cached import decoded_in_memory
from ..devices import float32_as, is_accelerator, pins_memory
from ..differences import difference
from ..errors import RunError, UsageError
from ..files import atomic_path
from ..networks import save_weights
from ..networks.preprocessing import preprocessing_of
from ..networks.weights import load_tensors, save_tensors
from ..progress import TimeLeft, progress_bar
from ..randomness import hashes
from .reading import images_of, training_batches
from .recipes import Recipe
from .regularizer import Pressure, SelectivityTerm
from .schedules import Schedule

log = logging.getLogger(__name__)

MIXED_PRECISION = {"fp32": "no", "tf32": "no", "bf16": "bf16", "fp16": "fp16"}
SCALED = ("cuda", "xpu")
"""Devices on which the loss is scaled, without which gradients in fp16 vanish."""


class Loop:
    """accelerate's training loop over one network, with our own safe checkpoint.

    Several processes take a share of every batch each, and their gradients are averaged over its images: a step is that
    of one process but for batch norm, which normalises by the images of each process alone, and whose running
    statistics are the first process's. Only the first one writes.
    """

    def __init__(
        self,
        network: nn.Module,
        training: ImageData,
        validation: ImageData,
        recipe: Recipe,
        device: torch.device,
        precision: str,
        workers: int = 0,
        progress: bool = True,
        compiled: bool = False,
        pressure: Pressure | None = None,
    ):
        if recipe.batch_size < 2 * processes.number():
            raise UsageError(
                f"batches of {recipe.batch_size} images are too small for {processes.number()} processes: batch norm "
                f"needs two images in each; expected at least {2 * processes.number()}"
            )
        if len(validation) < processes.number():
            raise UsageError(f"{len(validation)} validation images are fewer than {processes.number()} processes")
        progress = progress and processes.is_first()
        self.recipe, self.progress, self.workers = recipe, progress, workers
        self.validation = _own_part(validation)
        self.preprocessing = preprocessing_of(network)
        self.accelerator, self.precision = _accelerator(device, precision), precision
        on = self.accelerator.device
        self.reader = training_batches(training, recipe, self.preprocessing, on, workers, progress)
        if recipe.padding is not None:  # what is small is decoded once, for validation too
            self.validation = decoded_in_memory(self.validation, self.preprocessing.geometry, workers, progress)
        # before the optimizer: moving may make other parameters
        network.to(on, memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs have no such pair
        optimizer = torch.optim.SGD(
            param_groups_weight_decay(network, recipe.weight_decay),
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
        )
        # our own order and seeds resume exactly; accelerate would draw its own
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        # the step alone: validation goes through the network itself, whose state and names are as ever
        self.forward = torch.compile(self.network, dynamic=False) if compiled else self.network
        self.term = SelectivityTerm(self.own_network, pressure) if pressure is not None else None
        self.schedule = Schedule(recipe, self.optimizer.optimizer, len(self.reader))
        side = self.preprocessing.size
        outputs = network(torch.zeros(2, 3, side, side).to(on)).shape[1]
        self.metrics = MetricCollection(
            {
                "top1_error": MulticlassAccuracy(outputs, top_k=1, average="micro", validate_args=False),
                "top5_error": MulticlassAccuracy(outputs, top_k=min(5, outputs), average="micro", validate_args=False),
            }
        ).to(self.accelerator.device)
        self.loss = MeanMetric(nan_strategy="disable").to(self.accelerator.device)

    def run(
        self,
        checkpoint: Path,
        label: str,
        keep: "KeptEpochs",
        of: Mapping,
        after_epoch: Callable[[list[dict]], object] = lambda history: None,
    ) -> list[dict]:
        """Train to the end, from the checkpoint on where there is one; rows of `training.csv`.

        Args:
            of: what the training is of, as JSON has it: a checkpoint of something else is refused.
            after_epoch: is given the rows so far.

        Raises:
            UsageError: the checkpoint is of another training.
            RunError: the loss is no number any more, no images are left for a step, the checkpoint is damaged, or
                another process is lost.
        """
        with processes.losses_told(), float32_as(self.precision):
            return self._run(checkpoint, label, keep, of, after_epoch)

    def _run(self, checkpoint: Path, label: str, keep: "KeptEpochs", of: Mapping, after_epoch) -> list[dict]:
        steps = len(self.reader)
        if not steps:
            raise RunError("no step to train: one image alone has no variance for batch norm; expected more images")
        of = json.loads(json.dumps(of))
        history = self._restore(checkpoint, of)
        done = history[-1]["epoch"] if history else 0
        total = self.recipe.epochs * steps
        left = TimeLeft(self.recipe.epochs - done)
        with progress_bar(self.progress, total=total, initial=done * steps, desc=label, unit="step") as bar:
            for epoch in range(done + 1, self.recipe.epochs + 1):
                # each epoch draws from seeds of its own, so that one resumed is one never interrupted
                set_seed(int(hashes(self.recipe.seed, "epoch", np.array(epoch))) % 2**31 + processes.rank())
                for split, seen in (("train", self._epoch(epoch, bar, keep)), ("val", self._validate())):
                    history.append(
                        {"network": label, "epoch": epoch, "split": split}
                        | self._errors(seen)
                        | {"learning_rate": self.optimizer.param_groups[0]["lr"]}
                    )
                    if not np.isfinite(history[-1]["loss"]):
                        raise RunError(
                            f"the {split} loss of epoch {epoch} is {history[-1]['loss']}: the training has diverged; a "
                            f"lower learning rate than {self.recipe.learning_rate} might do"
                        )
                self.schedule.after_epoch(history[-1]["top1_error"])
                bar.set_postfix_str(f"val error {history[-1]['top1_error']:.1f} %")
                self._save(checkpoint, history, of)
                after_epoch(history)
                if bar.disable:  # a log file shows no bar
                    trained, validated = history[-2:]
                    log.info("%s", _told(trained, validated, self.recipe.epochs, left.after(epoch - done)))
        return history

    def _epoch(self, epoch: int, bar, keep: "KeptEpochs") -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        self.network.train()
        begun = (epoch - 1) * len(self.reader)
        for step, (images, labels) in enumerate(self.reader.epoch(epoch), begun + 1):
            with self.accelerator.autocast(), self.term.watch() if self.term else nullcontext():
                logits = self.forward(images)
                loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
            pressed = loss + self.term.of(labels) if self.term else loss
            self.accelerator.backward(self._weighted(pressed, len(labels), step - begun - 1))
            self.optimizer.step()
            self.schedule.after_step()
            self.optimizer.zero_grad()
            bar.update()
            yield loss.detach(), logits.detach(), labels
            if processes.is_first():
                keep.after(step, len(self.reader), self.own_network)

    @property
    def own_network(self) -> nn.Module:
        """The network itself, as it was before processes shared it."""
        return self.accelerator.unwrap_model(self.network)

    def _weighted(self, loss: torch.Tensor, images: int, step: int) -> torch.Tensor:
        """A process's mean loss, such that the mean over processes is that over the images of a batch."""
        if processes.number() == 1:
            return loss
        together = images_of(step, len(self.reader.indices), self.recipe)
        return loss * (images * processes.number() / together)

    @torch.no_grad()
    def _validate(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        network, device = self.own_network.eval(), self.accelerator.device
        if processes.number() > 1:  # running statistics, which processes have shared before the last step, not after it
            for buffer in network.buffers():
                broadcast(buffer)
        geometries, pinned = [self.preprocessing.geometry], pins_memory(device)
        for batch in batches(self.validation, geometries, self.recipe.batch_size, self.workers, pin_memory=pinned):
            images = batch.images[self.preprocessing.geometry].to(device, non_blocking=True)
            images = self.preprocessing.normalize(images).contiguous(memory_format=torch.channels_last)
            labels = batch.labels.to(device, non_blocking=True)
            with self.accelerator.autocast():
                logits = network(images)
                loss = nn.functional.cross_entropy(logits, labels)
            yield loss, logits, labels

    def _errors(self, seen) -> dict[str, float]:
        self.metrics.reset()
        self.loss.reset()
        for loss, logits, labels in seen:
            self.loss.update(loss.expand(len(labels)))  # torchmetrics ignores a weight where it looks for no NaN
            self.metrics.update(logits.float(), labels)
        errors = {name: 100 * (1 - float(value)) for name, value in self.metrics.compute().items()}
        return {"loss": float(self.loss.compute())} | errors

    def _save(self, path: Path, history: list[dict], of: Mapping) -> None:
        if not processes.is_first():
            return
        state = {
            "of": of,
            "network": self.own_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.schedule.done,
            "history": history,
        }
        if self.accelerator.scaler is not None:  # of fp16
            state["scaler"] = self.accelerator.scaler.state_dict()
        save_tensors(path, state)

    def _restore(self, path: Path, of: Mapping) -> list[dict]:
        saved = None
        if processes.is_first() and path.exists():
            saved = load_tensors(path)  # not accelerate's load_state, which unpickles whatever the file holds
            if saved.get("of", of) != of:
                others = difference("what it is of", saved["of"], of)
                raise UsageError(f"`{path}` is of another training: {others}; choose another folder")
        saved = processes.tell(saved)
        if saved is None:
            return []
        self.own_network.load_state_dict(saved["network"])
        errors = [row["top1_error"] for row in saved["history"] if row["split"] == "val"]
        self.schedule.go_on(saved["steps"], errors)
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        return saved["history"]


def _told(training: Mapping, validation: Mapping, of: int, left: str) -> str:
    """An epoch in a line."""
    return (
        f"{training['network']}: epoch {training['epoch']} of {of}, top-1 error {training['top1_error']:.2f} % in "
        f"training, {validation['top1_error']:.2f} % in validation, learning rate {training['learning_rate']:.3g}, "
        f"{left} left"
    )


def _own_part(data: ImageData) -> ImageData:
    """This process's share of images whose order does not matter."""
    if processes.number() == 1:
        return data
    return data.subset(np.array_split(np.arange(len(data)), processes.number())[processes.rank()])


def _accelerator(device: torch.device, precision: str) -> Accelerator:
    """accelerate's own, on this device: its state is the process's, and would keep the first training's."""
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    state = PartialState(cpu=not is_accelerator(device))
    if state.distributed_type == DistributedType.NO:  # else each process has a device of its own
        state.device = device
    return Accelerator(cpu=not is_accelerator(device), mixed_precision=MIXED_PRECISION[precision])


class KeptEpochs:
    """Which weights of a training are kept on the way, as epoch-001.safetensors, epoch-000.125.safetensors and so on.

    Args:
        folder: where they go.
        epochs: after how many epochs, whole or not; True keeps each whole one.
    """

    def __init__(self, folder: Path, epochs: bool | Sequence[float] = False):
        self.folder, self.every = folder, epochs is True
        self.epochs = [] if isinstance(epochs, bool) else sorted({float(epoch) for epoch in epochs})

    def after(self, step: int, steps: int, network: nn.Module) -> None:
        """Keep the weights if this step of the training, whose epochs have so many, is one to keep."""
        wanted = [epoch for epoch in self.epochs if max(round(epoch * steps), 1) == step]
        if self.every and step % steps == 0:
            wanted.append(step / steps)
        for epoch in wanted:
            name = f"{int(epoch):03}" if epoch == int(epoch) else f"{epoch:07.3f}"
            with atomic_path(self.folder / f"epoch-{name}.safetensors") as temporary:
                save_weights(network, temporary, epoch=f"{epoch:g}")
