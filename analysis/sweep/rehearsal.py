"""What a pass would be, for those who only ask."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..progress import listed, size_in_words, time_in_words


@dataclass(frozen=True)
class Plan:
    """What a pass would read, keep and take.

    Args:
        data: of the images, as they call themselves.
        images: how many.
        networks: by label.
        blocks: that are measured in any of them.
        arrays: that are kept, as NETWORK/NAME.
        bytes: of all arrays.
        how: device, precision, batch size, workers.
        seconds: of the pass, by the time of one batch.
    """

    data: str
    images: int
    networks: list[str]
    blocks: Sequence[str]
    arrays: list[str]
    bytes: int
    how: str
    seconds: float

    def __str__(self) -> str:
        return listed(
            {
                "networks": ", ".join(self.networks),
                "images": f"{self.images} of {self.data}, in one pass",
                "blocks": ", ".join(self.blocks) or "none",
                "computed": f"on {self.how}",
                "disk": f"{size_in_words(self.bytes)} for the recording",
                "time": f"{time_in_words(self.seconds)} for the pass by its first batch, and statistics and figures",
            }
        )


class Rehearsed(Exception):
    """A pass was only asked about: what it would be."""

    def __init__(self, plan: Plan):
        super().__init__(str(plan))
        self.plan = plan
