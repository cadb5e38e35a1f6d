"""The base of our metrics: torchmetrics' Metric, whose saved state counts as updates when it is loaded."""

from torchmetrics import Metric


class SavedMetric(Metric):
    """A torchmetrics metric of sums whose persistent state can be saved, loaded and computed from."""

    full_state_update = False

    def __init__(self):
        super().__init__(compute_with_cache=False)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._update_count = max(self._update_count, 1)  # else torchmetrics warns that nothing was measured

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.measures()}, {self._update_count} batches so far"

    def measures(self) -> str:
        """What it measures, as a person is told."""
        return ""
