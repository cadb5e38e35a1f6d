"""Learning rates over a training: of the named recipes, of plateaus worked out by hand, and after a resumption."""

from dataclasses import replace

import pytest
import torch

from gelens.errors import UsageError
from gelens.training import RECIPES, Recipe, train
from gelens.training.recipes import check_recipe
from gelens.training.schedules import Schedule


def learning_rates(recipe: Recipe, errors, steps: int = 2) -> list[float]:
    """The learning rate of each epoch's first step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], recipe.learning_rate)
    schedule, found = Schedule(recipe, optimizer, steps), []
    for error in errors:
        found.append(optimizer.param_groups[0]["lr"])
        for _ in range(steps):
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(error)
    return found


@pytest.mark.parametrize("name, drops", [("imagenet", (30, 60, 90)), ("imagenet_long", (125, 200, 250))])
def test_fixed_schedules_of_imagenet(name, drops):
    """SPEC: 100 epochs, ÷ 10 every 30; and arXiv 1709.01507: 270 epochs, ÷ 10 at 125, 200 and 250."""
    recipe = RECIPES[name]
    assert recipe.epochs == {"imagenet": 100, "imagenet_long": 270}[name] and recipe.batch_size == 256
    found = learning_rates(recipe, [50.0] * recipe.epochs)
    wanted = [0.1 * 0.1 ** sum(epoch >= drop for drop in drops) for epoch in range(recipe.epochs)]
    assert found == pytest.approx(wanted)


def test_a_plateau_by_hand():
    """Patience 2: the third epoch in a row without a new least error drops the rate; after three drops no more."""
    recipe = replace(RECIPES["imagenet_plateau"], patience=2)
    errors = [9.0, 8.0, 8.5, 8.1, 8.2, 7.0, 7.0, 7.0, 7.0, 6.0, *[6.5] * 9]
    wanted = [*[0.1] * 5, *[0.01] * 4, *[0.001] * 4, *[0.0001] * 6]
    assert learning_rates(recipe, errors) == pytest.approx(wanted)


def test_plateaus_go_on_where_they_were(tmp_path, monkeypatch):
    """With a patience of no epoch nearly every one drops: the same rates and weights as without a break."""
    from gelens.training.loop import Loop

    recipe = Recipe(4, 32, 0.05, schedule="plateau", patience=0)
    whole = train("mini_shufflenet", "digits", tmp_path / "whole", recipe, limit=100)
    save, epochs = Loop._save, []

    def interrupted(self, *given):
        save(self, *given)
        epochs.append(len(given[1]) // 2)
        if epochs[-1] < 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_save", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train("mini_shufflenet", "digits", tmp_path / "parts", recipe, resume=True, limit=100)
    parts = train("mini_shufflenet", "digits", tmp_path / "parts", recipe, resume=True, limit=100)
    assert epochs == [1, 2, 3, 4] and parts.equals(whole)
    assert whole["learning_rate"].nunique() > 1


@pytest.mark.parametrize("changes", [{"schedule": "step"}, {"schedule": "step", "drops": (0, 3)}, {"patience": -1}])
def test_schedules_that_cannot_be_meant(changes):
    with pytest.raises(UsageError, match=r"drops, but got|patience cannot be -1"):
        check_recipe(Recipe(3, 32, 0.05, **changes))
