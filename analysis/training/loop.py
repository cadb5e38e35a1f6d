"""The loop that trains a network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from timm.optim import param_groups_weight_decay
from torch import nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from tqdm import tqdm

from analysis.data import ImageData, batches
from analysis.data.cached import decoded_in_memory
from analysis.errors import RunError, UsageError, difference
from analysis.files import atomic_path
from analysis.networks import save_weights
from analysis.networks.weights import load_tensors, save_tensors
from analysis.randomness import hashes
from analysis.training.reading import training_batches
from analysis.training.recipes import Recipe

MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class Loop:
    """accelerate's training loop over one network, with our own safe checkpoint."""

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
    ):
        self.recipe, self.progress, self.validation, self.workers = recipe, progress, validation, workers
        self.preprocessing = network.preprocessing
        AcceleratorState._reset_state()  # else a second training of this process could not have another precision
        self.accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=MIXED_PRECISION[precision])
        on = self.accelerator.device
        self.reader = training_batches(training, recipe, network.preprocessing, on, workers, progress)
        if recipe.padding is not None:  # what is small is decoded once, for validation too
            self.validation = decoded_in_memory(validation, network.preprocessing.geometry, workers, progress)
        optimizer = torch.optim.SGD(
            param_groups_weight_decay(network, recipe.weight_decay),
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
        )
        network.to(memory_format=torch.channels_last)
        # our own order and seeds resume exactly; accelerate would draw its own
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        # the step alone: validation goes through the network itself, whose state and names are as ever
        self.forward = torch.compile(self.network, dynamic=False) if compiled else self.network
        self.scheduler = self._schedule(len(self.reader))
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
        return torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer.optimizer,
            self.recipe.learning_rate,
            total_steps=self.recipe.epochs * steps + 1,
            cycle_momentum=False,
        )

    def run(self, checkpoint: Path, label: str, keep: "KeptEpochs", of: Mapping) -> list[dict]:
        """Train to the end, from the checkpoint on where there is one; rows of `training.csv`.

        Args:
            of: what the training is of, as JSON has it: a checkpoint of something else is refused.

        Raises:
            UsageError: the checkpoint is of another training.
            RunError: the loss is no number any more, no images are left for a step, or the checkpoint is damaged.
        """
        steps = len(self.reader)
        if not steps:
            raise RunError("no step to train: one image alone has no variance for batch norm; expected more images")
        of = json.loads(json.dumps(of))
        history = self._restore(checkpoint, of)
        done = history[-1]["epoch"] if history else 0
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
                set_seed(int(hashes(self.recipe.seed, "epoch", np.array(epoch))) % 2**31)
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
                bar.set_postfix_str(f"val error {history[-1]['top1_error']:.1f} %")
                self._save(checkpoint, history, of)
        return history

    def _epoch(
        self, epoch: int, bar: tqdm, keep: "KeptEpochs"
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        self.network.train()
        begun = (epoch - 1) * len(self.reader)
        for step, (images, labels) in enumerate(self.reader.epoch(epoch), begun + 1):
            with self.accelerator.autocast():
                logits = self.forward(images)
                loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
            self.accelerator.backward(loss)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
            bar.update()
            yield loss.detach(), logits.detach(), labels
            keep.after(step, len(self.reader), self.accelerator.unwrap_model(self.network))

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

    def _save(self, path: Path, history: list[dict], of: Mapping) -> None:
        state = {
            "of": of,
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.scheduler.last_epoch,
            "history": history,
        }
        save_tensors(path, state)

    def _restore(self, path: Path, of: Mapping) -> list[dict]:
        if not path.exists():
            return []
        # not accelerate's load_state, which unpickles whatever the file holds
        saved = load_tensors(path)
        if saved.get("of", of) != of:
            others = difference("what it is of", saved["of"], of)
            raise UsageError(f"`{path}` is of another training: {others}; choose another folder")
        self.accelerator.unwrap_model(self.network).load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.last_epoch = saved["steps"]
        return saved["history"]


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
