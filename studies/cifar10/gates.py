"""What the gates do, in words and in small tables, from the runs that measured it. Tables in, words out.

Every number is of one training but those of `pooled_table`.
"""

from collections.abc import Sequence

import pandas as pd

from gelens.names import paper_name, pretty

STAGE = "layer3"
"""What `gates_static.csv` calls all blocks at once."""

SUBSTITUTES = {"mean": "its mean", "class": "its class's mean", "other": "another image's", "one": "1"}
"""By what `gates_static.csv` calls what a gate is replaced by, what the page calls it."""

TOGETHER = 16
"""Units that are dropped together, of those that class-targeted lesions were made of."""

FEW = 10
"""Images of each class, where rarefaction is compared with all of them."""


def gate_table(blocks: pd.DataFrame, static: pd.DataFrame) -> pd.DataFrame:
    """Each gated block's shares of variance, the gates' own index, and the accuracy that static gates change.

    Args:
        blocks: `gates_blocks.csv`.
        static: `gates_static.csv`.

    Returns:
        network, block, channel, class, image (shares), input_se, csi (corrected, of the gates), and in percent of the
        images by how much accuracy changes with the gate at each of `SUBSTITUTES`.
    """
    shares = {"share_channel": "channel", "share_class": "class", "share_image": "image", "share_input_se": "input_se"}
    table = blocks.rename(columns=shares | {"mean_corrected": "csi"})
    table = table[["network", "block", *shares.values(), "csi"]]
    changes = static.pivot_table(index=["network", "block"], columns="gate", values="difference") * 100
    return table.join(changes[list(SUBSTITUTES)].rename(columns=SUBSTITUTES), on=["network", "block"])


def pooled_table(shares: pd.DataFrame, static: pd.DataFrame) -> pd.DataFrame:
    """Over the trainings of each network, what depends on the image, and the accuracy that static gates change.

    Args:
        shares: `gates_blocks_trainings.csv`.
        static: `gates_static_trainings.csv`.

    Returns:
        network, block, trainings, input (the share of the gates' variance that depends on the image, by its class or
        within it), low, high (95 % over trainings and images, cut off at 0 and 1), of which class, and in percent of
        the images the mean change with the gate at each of `SUBSTITUTES`.
    """
    table = shares[shares["quantity"] == "share_input"].rename(columns={"mean": "input"})
    table = table[["network", "block", "trainings", "input", "low", "high"]]
    table[["low", "high"]] = table[["low", "high"]].clip(0, 1)
    classes = shares[shares["quantity"] == "share_class"].set_index(["network", "block"])["mean"].rename("class")
    changes = static.pivot_table(index=["network", "block"], columns="gate", values="mean") * 100
    table = table.join(classes, on=["network", "block"])
    return table.join(changes[list(SUBSTITUTES)].rename(columns=SUBSTITUTES), on=["network", "block"])


def lesion_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """How far each index orders units as the damage of their lesions does: means over a network's blocks.

    Args:
        agreement: `lesions_agreement.csv`.

    Returns:
        network, index, damage ("loss" on all images, "loss_own" on those of the preferred class), blocks, correlation,
        with_ceiling (blocks whose two halves of the images agree at all, so that there is a ceiling), ceiling,
        agreement (NaN unless every block has one: means over other blocks than the correlation's would mislead), above,
        below (in how many blocks the 95 % interval of the correlation leaves zero out).
    """
    rows = []
    mine = agreement[agreement["damage"].isin(["loss", "loss_own"])]
    for (network, index, damage), of in mine.groupby(["network", "index", "damage"], sort=False):
        told = {"network": network, "index": index, "damage": damage, "blocks": len(of)}
        told |= {"correlation": of["correlation"].mean(), "with_ceiling": int(of["ceiling"].notna().sum())}
        told |= {name: of[name].mean(skipna=False) for name in ("ceiling", "agreement")}
        rows.append(told | {"above": int((of["low"] > 0).sum()), "below": int((of["high"] < 0).sum())})
    return pd.DataFrame(rows)


def stage_table(static: pd.DataFrame) -> pd.DataFrame:
    """Over the trainings of each network, the accuracy that changes with the gates of the whole stage replaced.

    Args:
        static: `gates_static_trainings.csv`.

    Returns:
        network, replaced_by, trainings, and in points mean, low, high, then p_holm.
    """
    mine = static[static["block"] == STAGE].assign(replaced_by=static["gate"].map(SUBSTITUTES))
    mine = mine.assign(**{name: 100 * mine[name] for name in ("mean", "low", "high")})
    return mine[["network", "replaced_by", "trainings", "mean", "low", "high", "p_holm"]].reset_index(drop=True)


def static_sentences(static: pd.DataFrame) -> list[str]:
    """Accuracy with the gates of the whole stage replaced at once, network by network.

    Args:
        static: `gates_static.csv`.
    """
    said = []
    for network, rows in static.groupby("network", sort=False):
        own = rows.loc[rows["gate"] == "own", "top1"].iloc[0]
        stage = rows[(rows["block"] == STAGE) & (rows["gate"] != "own")]
        parts = [
            f"{SUBSTITUTES[row.gate]} {100 * row.top1:.1f} % ({_signed(row, 100)}{_resolved(row.p_holm)})"
            for row in stage.itertuples()
        ]
        worst = {
            kind: rows.loc[(rows["gate"] == kind) & (rows["block"] != STAGE), "difference"].min()
            for kind in SUBSTITUTES
        }
        single = ", ".join(f"{SUBSTITUTES[kind]} {100 * change:+.1f}" for kind, change in worst.items())
        said.append(
            f"{pretty(network)}: {100 * own:.1f} % of {rows['images'].iloc[0]} images are right with the network's own "
            f"gates; with every gate of the stage replaced by {', by '.join(parts)}. One block at a time, the most "
            f"that is lost is, in points: {single}."
        )
    return said


def _signed(row, scale: float) -> str:
    low, high = scale * row.difference_low, scale * row.difference_high
    return f"{scale * row.difference:+.1f}, 95 % {low:+.1f} … {high:+.1f}"


def _resolved(p_holm: float) -> str:
    return "" if p_holm < 0.05 else "; not resolved after Holm's correction"


def ceiling_sentences(table: pd.DataFrame) -> list[str]:
    """How far each index agrees with the loss that a lesion adds, beside the noise ceiling, the most first.

    Args:
        table: of `lesion_table`.
    """
    said = []
    for network, rows in table[table["damage"] == "loss"].groupby("network", sort=False):
        ordered = rows.dropna(subset="correlation").sort_values("correlation", ascending=False)
        if ordered.empty:
            continue
        parts = [f"`{row.index}` {row.correlation:+.2f} ({_ceiling(row)})" for row in ordered.itertuples(index=False)]
        said.append(f"{pretty(network)}, in the mean over blocks, loss on all images: {', '.join(parts)}.")
    return said


def _ceiling(row) -> str:
    if row.with_ceiling == row.blocks:
        return f"ceiling {row.ceiling:.2f}"
    return f"no ceiling in {row.blocks - row.with_ceiling} of {row.blocks} blocks"


def targeted_sentences(targeted: pd.DataFrame) -> list[str]:
    """What dropping `TOGETHER` units of an image's own class costs against those of another class.

    Args:
        targeted: `lesions_targeted.csv`.
    """
    said = []
    for network, rows in targeted[targeted["k"] == TOGETHER].groupby("network", sort=False):
        worst = rows.loc[rows["difference"].idxmax()]
        resolved = int((rows["difference_low"] > 0).sum())
        said.append(
            f"{pretty(network)}: without the {TOGETHER} units of a block that are most selective for an image's own "
            f"class, {_range(100 * rows['own'])} points of accuracy are lost; without as many of another class's "
            f"{_range(100 * rows['another'])}. The own ones cost more in {resolved} of {len(rows)} blocks, most in "
            f"{paper_name(worst['block'])}: by {100 * worst['difference']:.1f} points (95 % "
            f"{100 * worst['difference_low']:.1f} … {100 * worst['difference_high']:.1f})."
        )
    return said


def rarefaction_sentences(table: pd.DataFrame) -> list[str]:
    """How much of the index is owed to the number of images.

    Args:
        table: `selectivity_rarefaction.csv`.
    """
    said = []
    for network, rows in table.groupby("network", sort=False):
        sizes = sorted(rows["images_per_class"].unique())
        most, few = sizes[-1], min(FEW, sizes[-1])
        ends = rows[rows["images_per_class"].isin([few, most])]
        means = ends.groupby("images_per_class")[["mean_csi", "mean_corrected"]].mean()
        said.append(
            f"{pretty(network)}: from {few} to {most} images of each class the plain index goes from "
            f"{means['mean_csi'][few]:.3f} to {means['mean_csi'][most]:.3f} in the mean over blocks, the corrected one "
            f"goes from {means['mean_corrected'][few]:.3f} to {means['mean_corrected'][most]:.3f}."
        )
    return said


def gap_sentences(gaps: pd.DataFrame) -> list[str]:
    """The gap between networks as it is, corrected for noise, and over units that are active on as many images.

    Args:
        gaps: `selectivity_gap.csv`.
    """
    said = []
    for (network, reference), rows in gaps.groupby(["network", "reference"], sort=False):
        matched = rows["matched_gap"]
        reach = 1.96 * rows["matched_gap_se"]
        below, above = int((matched + reach < 0).sum()), int((matched - reach > 0).sum())
        said.append(
            f"{pretty(network)} less {pretty(reference)}, block by block: raw {_range(rows['mean_gap'], 3)}, corrected "
            f"{_range(rows['corrected_gap'], 3)}, matched {_range(matched, 3)}; matched below zero in {below} of "
            f"{len(rows)} blocks, above in {above} (95 % over images)."
        )
    return said


def level_sentences(levels: pd.DataFrame) -> list[str]:
    """Whether groups of classes that belong together mean more to units than random groups as large.

    Args:
        levels: `selectivity_levels.csv`.
    """
    said = []
    for network, rows in levels.groupby("network", sort=False):
        parts = []
        for level, of in rows.groupby("level", sort=False):
            index = f"{_range(of['mean_csi'], 2)}"
            if of["null_high"].isna().all():
                parts.append(f"of {of['groups'].iloc[0]} single classes {index}")
                continue
            above, below = int((of["mean_csi"] > of["null_high"]).sum()), int((of["mean_csi"] < of["null_low"]).sum())
            parts.append(
                f"of {of['groups'].iloc[0]} groups ({level}) {index}, where random groups have "
                f"{_range(of['mean_null'], 2)}: above their 95 % in {above} of {len(of)} blocks, below in {below}"
            )
        said.append(f"{pretty(network)}, index {'; '.join(parts)}.")
    return said


def match_sentences(blocks: pd.DataFrame, means: pd.DataFrame) -> list[str]:
    """How alike two networks' blocks are, and each unit's best match.

    Args:
        blocks: `match_blocks.csv`.
        means: `match_means.csv`.
    """
    one, other = blocks["network"].iloc[0], blocks["other"].iloc[0]
    same = blocks[blocks["block"] == blocks["other_block"]]
    error = same["cka_se"].max()
    known = means[means["network"] == one]
    return [
        f"{pretty(one)} and {pretty(other)}: linear CKA of blocks of one name (debiased) {_range(same['cka'], 2)} "
        f"(standard errors over images up to {error:.3f}), from {same['cka'].iloc[0]:.2f} in "
        f"{paper_name(same['block'].iloc[0])} to {same['cka'].iloc[-1]:.2f} in {paper_name(same['block'].iloc[-1])}; "
        f"the best match of a unit of {pretty(one)}, chosen on one half of the images, correlates by "
        f"{_range(known['mean_correlation'], 2)} on the other."
    ]


def paragraphs(sentences: Sequence[str]) -> str:
    """A list for the page."""
    return "\n".join(f"- {each}" for each in sentences)


def _range(values: pd.Series, digits: int = 1) -> str:
    """The least and the greatest.

    >>> _range(pd.Series([0.25, -0.5]), 2)
    '-0.50 … 0.25'
    """
    return f"{values.min():.{digits}f} … {values.max():.{digits}f}"
