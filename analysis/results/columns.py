"""Columns of the tables of a run's folder: what each is, in which unit, and what people call it; said once for all.

A column of one name is the same thing in every table; where a table has another thing of that name, `tables` says so.
"""

from dataclasses import dataclass

WRITTEN = ("%", "bits", "nats", "10⁹")
"""Units that stand behind a title in brackets; shares are written as percents, and counts need none."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        type: "name", "int", "float" or "bool". What looks like a number in a column of names, or like a missing value,
            is a name still; numbers may be missing.
        title: what axes and heads call it.
        unit: of its values; none of names, indices, ratios and numbers of an order.
        brief: what legends call it, beside others; the title with a small letter where it is not said.
    """

    type: str
    title: str
    unit: str = ""
    brief: str = ""

    @property
    def head(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit in WRITTEN else self.title


ENDINGS = {"se": "standard error", "sd": "standard deviation", "low": "95 %, low end", "high": "95 %, high end"}
"""What the ending of a name says, as in `csi_se`: a number of the column before it, in its unit."""

COLUMNS = {
    # what a row is of
    "network": Column("name", "Network"),
    "reference": Column("name", "Compared with"),
    "block": Column("name", "Block"),
    "depth": Column("int", "Depth of the block"),
    "unit": Column("int", "Unit"),
    "tap": Column("name", "Tap"),
    "from": Column("name", "From the tap"),
    "to": Column("name", "To the tap"),
    "level": Column("name", "Level"),
    "epoch": Column("float", "Epoch"),
    "split": Column("name", "Split"),
    "seed": Column("int", "Seed of the training"),
    "other": Column("name", "Other network"),
    "other_block": Column("name", "Block of the other network"),
    "gap": Column("name", "Gap of"),
    "quantity": Column("name", "Quantity"),
    "metric": Column("name", "Error"),
    "value": Column("float", "Value"),
    # images and classes
    "row": Column("int", "Row of the recording"),
    "index": Column("int", "Number of the image in the data"),
    "identifier": Column("name", "Image"),
    "label": Column("int", "Number of the image's class"),
    "class": Column("int", "Number of the class"),
    "class_name": Column("name", "Class"),
    "name": Column("name", "Class"),
    "bytes": Column("int", "Size of the image's file", "bytes"),
    "content": Column("name", "Hash of the pixels"),
    "rank": Column("int", "Rank of the image"),
    "activity": Column("float", "Activity"),
    "images": Column("int", "Images", "images"),
    "images_per_class": Column("int", "Images of each class", "images"),
    "classes": Column("int", "Classes with images", "classes"),
    "units": Column("int", "Units", "units"),
    "dead": Column("int", "Dead units", "units"),
    # networks and their errors
    "extent": Column("name", "Extent"),
    "pool": Column("name", "Pooling"),
    "parameters": Column("int", "Parameters", "parameters"),
    "gmacs": Column("float", "Multiply–accumulates of an image", "10⁹"),
    "top1_error": Column("float", "Top-1 error", "%"),
    "top5_error": Column("float", "Top-5 error", "%"),
    "published_top1_error": Column("float", "Published top-1 error", "%"),
    "published_top5_error": Column("float", "Published top-5 error", "%"),
    "published_gmacs": Column("float", "Published multiply–accumulates", "10⁹"),
    "learning_rate": Column("float", "Learning rate"),
    "top1": Column("float", "Top-1 accuracy", "share", "top-1 accuracy"),
    "top5": Column("float", "Top-5 accuracy", "share"),
    # class selectivity of units
    "csi": Column("float", "Class selectivity index", brief="index"),
    "csi_null": Column("float", "Null", brief="null"),
    "csi_crossfit": Column("float", "Cross-fitted index", brief="cross-fitted"),
    "csi_corrected": Column("float", "Corrected index", brief="corrected"),
    "active_fraction": Column("float", "Active share", "share"),
    "mu_max": Column("float", "Mean on top class", brief="highest mean"),
    "mu_rest": Column("float", "Mean on other classes"),
    "top_class": Column("int", "Number of the top class"),
    "top_class_name": Column("name", "Top class"),
    "reliability": Column("float", "Reliability of class means", "share"),
    "variation": Column("float", "Error of a class mean, relative to their mean"),
    "sparseness": Column("float", "Sparseness of class means (S)", brief="sparseness (S)"),
    "sparseness_null": Column("float", "Null of sparseness", brief="null of S"),
    "effective_classes": Column("float", "Classes that a unit responds to (K_eff)", "classes"),
    "rectified": Column("bool", "Of the positive part"),
    "null": Column("float", "Null", brief="null"),
    "excess": Column("float", "Index − null", brief="index − null"),
    "resolution": Column("float", "Least step of the index"),
    # and of blocks
    "mean_csi": Column("float", "Mean class selectivity", brief="index"),
    "mean_null": Column("float", "Mean null", brief="index, labels permuted"),
    "mean_excess": Column("float", "Mean of index − null", brief="index − null"),
    "mean_crossfit": Column("float", "Mean cross-fitted index", brief="cross-fitted"),
    "mean_corrected": Column("float", "Mean corrected index", brief="corrected index"),
    "mean_reliability": Column("float", "Mean reliability", "share"),
    "mean_variation": Column("float", "Mean relative error of class means"),
    "mean_sparseness": Column("float", "Mean sparseness of class means (S)", brief="sparseness (S)"),
    "mean_sparseness_null": Column("float", "Mean null of sparseness"),
    "mean_effective_classes": Column("float", "Classes that units respond to, mean", "classes"),
    "sparseness_units": Column("int", "Units whose sparseness is known", "units"),
    "sparseness_bias": Column("float", "Bias of mean sparseness, simulated"),
    "sparseness_bias_half": Column("float", "The same, with half as many active images"),
    "sparseness_bias_twice": Column("float", "The same, with twice as many active images"),
    "sparseness_error_ratio": Column("float", "Spread of sparseness over its standard error, simulated"),
    "sparseness_cover": Column("float", "Cover of the 95 % interval of sparseness, simulated", "share"),
    "corrected_bias": Column("float", "Bias of the mean corrected index, simulated"),
    "corrected_bias_half": Column("float", "The same, with half as many active images"),
    "corrected_bias_twice": Column("float", "The same, with twice as many active images"),
    "corrected_error_ratio": Column("float", "Spread of the corrected index over its standard error, simulated"),
    "corrected_cover": Column("float", "Cover of the 95 % interval of the corrected index, simulated", "share"),
    # gaps between networks, or between taps
    "mean_gap": Column("float", "Gap in mean class selectivity", brief="index"),
    "excess_gap": Column("float", "Gap in mean index − null", brief="index − null"),
    "crossfit_gap": Column("float", "Gap in mean cross-fitted index", brief="cross-fitted"),
    "corrected_gap": Column("float", "Gap in mean corrected index", brief="corrected index"),
    "corrected_low": Column("float", "Gap in mean corrected index, 95 %, low end"),
    "corrected_high": Column("float", "Gap in mean corrected index, 95 %, high end"),
    "matched_gap": Column("float", "Gap in mean corrected index, units matched by activity"),
    "matched_overlap": Column("float", "Units that can be matched", "share"),
    "wasserstein": Column("float", "Wasserstein-1 distance of the units' indices"),
    "wasserstein_halves": Column("float", "The same of two halves of the network's images"),
    "ks": Column("float", "Kolmogorov–Smirnov distance of the units' indices"),
    "ks_halves": Column("float", "The same of two halves of the network's images"),
    "stage_blocks": Column("int", "Blocks measured of the stage", "blocks"),
    "reference_stage_blocks": Column("int", "Blocks measured of the reference's stage", "blocks"),
    "sparseness_gap": Column("float", "Gap in mean sparseness (S)", brief="sparseness (S)"),
    "fewest_units": Column("int", "Living units of the two blocks, the fewer", "units"),
    "slope": Column("float", "Slope of the gap per block"),
    "slope_bias": Column("float", "Bias of the slope, simulated"),
    "slope_cover": Column("float", "Cover of the slope's 95 % interval, simulated", "share"),
    "growth_bias": Column("float", "Bias of the growth, simulated"),
    "growth_cover": Column("float", "Cover of the growth's 95 % interval, simulated", "share"),
    "early": Column("float", "Mean gap of the earlier half of the blocks"),
    "late": Column("float", "Mean gap of the later half of the blocks"),
    "growth": Column("float", "Gap of the later half less that of the earlier"),
    "claim": Column("name", "Claim"),
    "statistic": Column("name", "Statistic"),
    "verdict": Column("name", "Verdict"),
    "bias": Column("float", "Bias, simulated"),
    "cover": Column("float", "Cover of the 95 % interval, simulated", "share"),
    "reference_trainings": Column("int", "Trainings of the other network", "trainings"),
    "blocks": Column("int", "Blocks", "blocks"),
    # estimates, tests, and what is over trainings
    "trainings": Column("int", "Trainings", "trainings"),
    "mean": Column("float", "Mean over trainings"),
    "se": Column("float", "Standard error"),
    "se_trainings": Column("float", "Standard error over trainings"),
    "se_images": Column("float", "Standard error over images"),
    "sd": Column("float", "Standard deviation"),
    "df": Column("float", "Degrees of freedom"),
    "low": Column("float", "95 %, low end"),
    "high": Column("float", "95 %, high end"),
    "p": Column("float", "p"),
    "p_holm": Column("float", "p, by Holm"),
    "difference": Column("float", "Difference in accuracy", "share"),
    # levels of a hierarchy, and numbers of images
    "groups": Column("int", "Groups of classes", "groups"),
    "largest": Column("int", "Classes in the largest group", "classes"),
    "mean_label_null": Column("float", "Mean null of permuted labels", brief="labels permuted"),
    "share_above": Column("float", "Units above random groups", "share"),
    "draws": Column("int", "Draws of images", "draws"),
    "limit_in_n": Column("float", "Limit by a line in 1/n"),
    "limit_in_root_n": Column("float", "Limit by a line in 1/√n"),
    # gates
    "minimum": Column("float", "Least gate"),
    "maximum": Column("float", "Greatest gate"),
    "class_share": Column("float", "Gate by class", "share"),
    "rank_correlation": Column("float", "Rank correlation with activity"),
    "rank_correlation_within": Column("float", "Rank correlation with activity within classes"),
    "mean_rank_correlation": Column(
        "float", "Mean rank correlation with activity", brief="rank correlation with activity"
    ),
    "mean_rank_correlation_within": Column(
        "float", "Mean rank correlation within classes", brief="the same within classes"
    ),
    "below_tenth": Column("float", "Values below 0.1", "share"),
    "above_nine_tenths": Column("float", "Values above 0.9", "share"),
    "variance": Column("float", "Variance of the gates"),
    "share_channel": Column("float", "Share of variance by channel", "share", "which channel it is"),
    "share_class": Column("float", "Share of variance by class", "share", "the image's class"),
    "share_image": Column("float", "Share of variance within classes", "share", "the image within its class"),
    "share_input": Column("float", "Share of variance by image", "share"),
    "profile_reliability": Column("float", "Reliability of class profiles", "share"),
    "share": Column("float", "Share of values", "share"),
    "gate": Column("name", "In place of the gate"),
    # pruning
    "score": Column("name", "Score"),
    "order": Column("name", "Order"),
    "scope": Column("name", "Dropped in"),
    "fill": Column("name", "Filled with"),
    "per_image": Column("bool", "Ordered for each image"),
    "ratio": Column("float", "Ratio of feature maps dropped"),
    "dropped": Column("int", "Feature maps dropped", "maps"),
    "dropped_at": Column("name", "Where maps are dropped"),
    "versus": Column("name", "Order compared with"),
    "lost": Column("int", "Images right at ratio 0 only", "images"),
    "gained": Column("int", "Images right at this ratio only", "images"),
    "drop_all": Column("float", "Accuracy lost without the branch", "share"),
    "area": Column("float", "Area between least and most important first", "share"),
    "area_random": Column("float", "Area between random and most important first", "share"),
    # lesions
    "loss": Column("float", "Loss if dropped", "nats", "loss"),
    "loss_own": Column("float", "Loss on own class", "nats", "loss, own class"),
    "loss_others": Column("float", "Loss on other classes", "nats", "loss, other classes"),
    "logit_own": Column("float", "Fall of the own class's logit", "logit", "logit, own class"),
    "accuracy": Column("float", "Accuracy lost", "share", "accuracy"),
    "accuracy_own": Column("float", "Accuracy lost on own class", "share", "accuracy, own class"),
    "damage": Column("name", "Damage"),
    "correlation": Column("float", "Rank correlation of index and damage over units"),
    "reliability_index": Column("float", "Reliability of the index"),
    "reliability_damage": Column("float", "Reliability of the damage"),
    "ceiling": Column("float", "Highest correlation that noise allows"),
    "agreement": Column("float", "Correlation, of the highest"),
    "k": Column("int", "Units dropped", "units"),
    "own": Column("float", "Accuracy lost without the own class's units", "share", "own class"),
    "another": Column("float", "Accuracy lost without another class's units", "share", "another class"),
    # two networks
    "cka": Column("float", "Debiased linear CKA"),
    "cka_biased": Column("float", "Linear CKA"),
    "other_units": Column("int", "Units of the other block", "units"),
    "match": Column("int", "Best matching unit"),
    "correlation_chosen": Column("float", "Correlation on the images that the match was chosen by"),
    "constant": Column("int", "Units without a correlation", "units"),
    "mean_correlation": Column("float", "Mean correlation with the best match"),
    "mean_correlation_chosen": Column("float", "Mean correlation on the images that matches were chosen by"),
    # operators
    "operator": Column("name", "Operator"),
    "part": Column("name", "Part"),
    "step": Column("name", "Step"),
    "channels": Column("int", "Channels", "channels"),
    "height": Column("int", "Height", "pixels"),
    "width": Column("int", "Width", "pixels"),
}
"""By name. Of names that end as in `ENDINGS` most are not here."""

NAMES = frozenset(name for name, column in COLUMNS.items() if column.type == "name")
"""Columns of names."""

INDEX_TITLES = {
    "csi": COLUMNS["csi"].head,
    "precision": "Precision of the top images",
    "ccmas": "Class-conditional mean activity selectivity",
    "auc": "Best area under a ROC curve",
    "mi": "Mutual information of class and activity (bits)",
}
"""By index of selectivity, what axes call it, with its unit."""
