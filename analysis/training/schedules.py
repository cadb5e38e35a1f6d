"""The learning rate over a training: PyTorch's schedules, by the steps done or by the validation errors so far."""

from collections.abc import Iterable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR, ReduceLROnPlateau

from .recipes import Recipe

LEAST = 1e-3
"""Of the highest learning rate: what remains after three plateaus."""


class Schedule:
    """The learning rate of an optimizer over a training.

    Args:
        steps: of an epoch.
    """

    def __init__(self, recipe: Recipe, optimizer: Optimizer, steps: int):
        self.scheduler: ReduceLROnPlateau | MultiStepLR | OneCycleLR
        if recipe.schedule == "plateau":
            least = LEAST * recipe.learning_rate
            self.scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=recipe.patience, min_lr=least)
        elif recipe.schedule == "step":
            self.scheduler = MultiStepLR(optimizer, [epoch * steps for epoch in recipe.drops], gamma=0.1)
        else:
            total = recipe.epochs * steps + 1
            self.scheduler = OneCycleLR(optimizer, recipe.learning_rate, total_steps=total, cycle_momentum=False)

    @property
    def done(self) -> int:
        """Steps, or epochs where errors decide."""
        return self.scheduler.last_epoch

    def after_step(self) -> None:
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def after_epoch(self, error: float) -> None:
        """
        Args:
            error: of the validation images, in percent.
        """
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(error)

    def go_on(self, done: int, errors: Iterable[float]) -> None:
        """Be where a training was, whose optimizer has its state again.

        Args:
            errors: of the validation images after each of its epochs.
        """
        if isinstance(self.scheduler, ReduceLROnPlateau):
            for error in errors:
                self.scheduler.step(error)
        else:
            self.scheduler.last_epoch = done
