"""The networks that studies train, by the figures and tables of the paper that they are for."""

THETA_MINUS = "thin_resnet50_ge_theta_minus"

PLAIN, SE, THETA = "thin_resnet50", "thin_resnet50_se", "thin_resnet50_ge_theta"

FIRST = (PLAIN, SE, THETA_MINUS, THETA)
"""The networks of the selectivity and pruning figures."""

E4_MAX, E4_AVG, GLOBAL_MAX = OTHERS = (
    f"{THETA_MINUS}:extent=4,pool=max",
    f"{THETA_MINUS}:extent=4,pool=avg",
    f"{THETA_MINUS}:extent=global,pool=max",
)
"""The rest of the pooling table."""

SHUFFLE, SHUFFLE_THETA = PAIR = ("thin_shufflenet", "thin_shufflenet_ge_theta")
"""The pair of the optimisation curves."""

ALL = (*FIRST, *OTHERS, *PAIR)
