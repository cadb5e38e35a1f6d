"""What a pass would be, for those who only ask."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What a pass would read, keep and take.

    Args:
        data: of the images, as they call themselves.
        images: how many.
        networks: by label.
        arrays: that are kept, as NETWORK/NAME.
        bytes: of all arrays.
        how: device, precision, batch size, workers.
        seconds: of the pass, by the time of one batch.
    """

    data: str
    images: int
    networks: list[str]
    arrays: list[str]
    bytes: int
    how: str
    seconds: float

    def __str__(self) -> str:
        listed = "".join(f"\n  {name}" for name in self.arrays)
        minutes = self.seconds / 60
        short = f"{self.seconds:.0f} s" if self.seconds >= 1 else "less than a second"
        return (
            f"Would read {self.images} images of {self.data}, for {len(self.networks)} networks, on {self.how}.\n"
            f"Would keep {self.bytes / 1e6:.1f} MB:{listed}\n"
            f"The pass would take {f'{minutes:.0f} minutes' if minutes >= 2 else short} by the time "
            f"of one batch; statistics and figures come on top."
        )


class Rehearsed(Exception):
    """A pass was only asked about: what it would be."""

    def __init__(self, plan: Plan):
        super().__init__(str(plan))
        self.plan = plan
