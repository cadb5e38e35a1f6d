"""Words that one may choose by, known without importing what they stand for."""

from dataclasses import dataclass

ORDERS = ("most", "least")
"""Which units are dropped first: the most or the least important."""

RATIOS = tuple(tenth / 10 for tenth in range(11))
"""The shares of a block's units that are dropped by default."""

FILLS = ("zero", "mean")
"""What a dropped map is replaced by."""

SCOPES = ("block", "stage")
"""Where units are dropped: in each block alone, or in all blocks of a stage."""

SCORES = ("gate", "random", "activation", "selectivity", "gradient")
"""What a unit's importance is: the gate's value (the paper's); a hash of seed, image and channel; the mean of |gated
branch|; the class selectivity index of another run; the sum over positions of gated branch × gradient of the predicted
logit, the first-order estimate of how far that logit falls when the map is set to zero (as Molchanov et al., ICLR 2017,
but of a logit and signed)."""

TAPS = ("output", "branch", "gate", "gated", "sum")
"""Where in a block its activity is taken; see `gelens.probes.activity`."""

SIGNED = ("branch", "gated", "sum")
"""Taps before an activation function, of whose maps the positive part is taken."""

ACTIVITIES = ("float32", "float16")
"""What recorded activities are kept in; the first is the default."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""What is computed in; see `gelens.devices`."""

RECIPES = ("small", "cifar", "photographs64", "imagenet", "imagenet_long", "imagenet_plateau")
"""How a network is trained; see `gelens.training.recipes`."""

INDICES = ("csi", "sparseness", "precision", "ccmas", "auc", "mi")
"""Indices of selectivity; see `gelens.statistics.registry`."""

FORMATS = ("png", "pdf", "svg")
"""What figures are drawn in; see `gelens.figures`."""


@dataclass(frozen=True)
class Form:
    """What is known of a form of images before any are read.

    Args:
        place: what follows its name, such as ":DIR"; "[:DIR]" where it has a place of its own.
        any_images: whether it may hold any, so that the place says more than the form.
        by_name: whether its classes are in the order of their names.
    """

    place: str = ""
    any_images: bool = False
    by_name: bool = False


FORMS = {
    "digits": Form(),
    **dict.fromkeys(("cifar10", "cifar100", "mnist", "fashion_mnist", "imagenette"), Form("[:DIR]")),
    "folder": Form(":DIR", any_images=True, by_name=True),
    "imagenet": Form(":DIR"),
    "tar": Form(":FILE", any_images=True, by_name=True),
    "webdataset": Form(":GLOB", any_images=True, by_name=True),
    "parquet": Form(":GLOB", any_images=True),
    "hf": Form(":NAME", any_images=True),
    "cache": Form(":FILE"),
}
"""The forms of images by name, what a reference begins with; see `gelens.data.forms`."""

DATA = tuple(FORMS)
"""Their names."""
