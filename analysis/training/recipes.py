"""Recipes: how a network is trained."""

from dataclasses import dataclass, replace

from ..errors import UsageError, unknown

SCHEDULES = ("onecycle", "step", "plateau")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with momentum on cross-entropy, no weight decay on batch norm and biases.

    Args:
        epochs: passes over the training set.
        batch_size: images in a step.
        learning_rate: at its highest.
        momentum: of SGD.
        nesterov: whether it is Nesterov's.
        weight_decay: of weights other than batch norm's and biases.
        schedule: "onecycle" (rises over the first 30 %, falls by a cosine to nothing), "step" (÷ 10 after each of
            `drops`) or "plateau" (÷ 10 whenever the validation error has not fallen for more than `patience` epochs,
            three times at most).
        drops: epochs.
        patience: epochs.
        crop_area: range of a random crop's share of the image's area.
        crop_aspect: range of its aspect ratio.
        flip: probability of a horizontal flip.
        padding: pixels of black around an image, from which a crop of the image's own size is taken at random, as is
            usual for small images; None takes crops of `crop_area` and `crop_aspect` instead.
        label_smoothing: share of a label that is spread over all classes, while training.
        seed: of the initialisation, the order and the augmentation.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "onecycle"
    drops: tuple[int, ...] = ()
    patience: int = 10
    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    padding: int | None = None
    label_smoothing: float = 0.0
    nesterov: bool = False
    seed: int = 0


RECIPES = {
    # scans of digits have a left and a right, and little to crop away
    "small": Recipe(8, 32, 0.05, weight_decay=5e-4, crop_area=(0.8, 1.0), crop_aspect=(0.9, 1.1), flip=0.0),
    # photographs of 32 pixels; chosen by short trials of thin_resnet50
    "cifar": Recipe(24, 64, 0.1, weight_decay=2e-4, padding=4, nesterov=True),
    # photographs of 64 pixels, for thin_resnet50:size=64,classes=100: as many epochs as an hour of one core allows
    "photographs64": Recipe(28, 64, 0.1, weight_decay=2e-4, padding=4, nesterov=True),
    # the paper's ImageNet recipe, recalled from the main paper
    "imagenet": Recipe(100, 256, 0.1, schedule="step", drops=(30, 60, 90)),
    # the two longer schedules of the journal paper of SE's authors (arXiv 1709.01507). Table 1's baseline, 23.30/6.55,
    # is the one that its ablation tables have under the second; that the paper used it is inferred, not read. How long
    # a plateau is, it does not say.
    "imagenet_long": Recipe(270, 256, 0.1, schedule="step", drops=(125, 200, 250)),
    "imagenet_plateau": Recipe(300, 256, 0.1, schedule="plateau", patience=10, label_smoothing=0.1),
}


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
    check_recipe(recipe)
    return recipe


def check_recipe(recipe: Recipe) -> None:
    """Raise a UsageError where a recipe's values cannot be meant."""
    if recipe.epochs < 1 or recipe.batch_size < 2 or recipe.learning_rate <= 0:
        raise UsageError(
            f"a recipe needs at least 1 epoch, 2 images in a batch and a learning rate above 0, but got "
            f"{recipe.epochs}, {recipe.batch_size} and {recipe.learning_rate}"
        )
    if recipe.schedule not in SCHEDULES:
        raise unknown("schedule", recipe.schedule, SCHEDULES)
    if recipe.schedule == "step" and (not recipe.drops or min(recipe.drops) < 1):
        raise UsageError(
            f"a recipe with the schedule step needs the epochs after which it drops, but got {recipe.drops}"
        )
    if recipe.patience < 0:
        raise UsageError(f"a recipe's patience cannot be {recipe.patience}; expected at least 0 epochs")
    if recipe.padding is not None and recipe.padding < 0:
        raise UsageError(f"a recipe's padding cannot be {recipe.padding}; expected at least 0 pixels, or None")
    if not 0 <= recipe.label_smoothing < 1:
        raise UsageError(f"a recipe's label smoothing cannot be {recipe.label_smoothing}; expected 0 or more, below 1")
