"""What the paper and a port of it published, as numbers: errors on ImageNet and counts of multiply–accumulates."""

import math

from .names import family_and_gate

PUBLISHED_ERRORS = {
    # (name, extent, pool): ImageNet top-1 and top-5 error, percent. The paper's supplementary table 1 …
    ("resnet50", None, None): (23.30, 6.55),
    ("resnet50_ge_theta_minus", 4, "max"): (23.10, 6.39),
    ("resnet50_ge_theta_minus", 4, "avg"): (22.87, 6.40),
    ("resnet50_ge_theta_minus", "global", "max"): (23.65, 6.62),
    ("resnet50_ge_theta_minus", "global", "avg"): (22.14, 6.24),
    # … and, recalled from the main paper and not read again, these three.
    ("resnet50_se", None, None): (22.12, 5.99),
    ("resnet50_ge_theta", "global", None): (22.00, 5.87),
    ("resnet50_ge_theta_plus", "global", None): (21.88, 5.80),
}

PORTED_ERRORS = {
    # MindSpore's hub, of its own port: 100 less its top-1 and top-5 accuracy; θ⁺ has no top-5 there
    "resnet50_ge_theta_minus": (22.25, 6.36),
    "resnet50_ge_theta": (21.93, 6.07),
    "resnet50_ge_theta_plus": (21.6, math.nan),
}

PUBLISHED_GMACS = {
    # recalled from the main paper and not read again: "FLOPs" in 10⁹, multiply–accumulates by their size
    "resnet50": 3.86,
    "resnet50_se": 3.87,
    "resnet50_ge_theta_minus": 3.86,
    "resnet50_ge_theta": 3.87,
    "resnet50_ge_theta_plus": 3.87,
}

POOLING_ERRORS = {
    (None if extent is None else str(extent), pool): errors
    for (name, extent, pool), errors in PUBLISHED_ERRORS.items()
    if name in ("resnet50", "resnet50_ge_theta_minus")
}
"""Table 1 of the supplementary material: ResNet-50's errors on ImageNet by (extent, pooling)."""


def of_pooling_table(network: str) -> bool:
    """Whether a network, by reference, is of the kind that table 1 is about: a ResNet, plain or with GE-θ⁻.

    >>> of_pooling_table("mini_resnet_ge_theta_minus:extent=4@weights.safetensors"), of_pooling_table("resnet50_se")
    (True, False)
    """
    family, gate = family_and_gate(network)
    return "resnet" in family and gate in ("", "ge_theta_minus")


def pooling_errors(network: str, extent: str | None, pool: str | None) -> tuple[float, float] | None:
    """The paper's top-1 and top-5 error, in percent, of a ResNet-50 gated as this network, where its table 1 has one.

    >>> pooling_errors("mini_resnet_ge_theta_minus:extent=4,pool=max", "4", "max")
    (23.1, 6.39)

    Args:
        network: by reference.
        extent: as in `evaluation.csv`.
        pool: as in `evaluation.csv`.
    """
    return POOLING_ERRORS.get((extent, pool)) if of_pooling_table(network) else None
