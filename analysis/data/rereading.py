"""Images read once more, only to tell whether they show what they showed."""

from collections.abc import Sequence

from ..progress import progress_bar
from .contents import in_hex
from .loading import batches


def changed_image(
    data, contents: Sequence[str], batch_size: int = 64, workers: int = 0, progress: bool = True
) -> int | None:
    """The position of the first image whose content is another than it was, None where there is none.

    Args:
        data: whose first images are read.
        contents: of each of them, what it showed; an empty one is not known, and not compared.
        batch_size, workers, progress: as of a pass.
    """
    if not any(contents):
        return None
    made = getattr(data, "geometry", None)
    bar = progress_bar(progress, total=len(contents), unit="img", desc="comparing")
    with bar:
        for batch in batches(data, [tuple(made)] if made else [], batch_size, workers):
            assert batch.contents is not None
            for position, now in zip(batch.positions.tolist(), in_hex(batch.contents), strict=True):
                if position < len(contents) and contents[position] and now and contents[position] != now:
                    return position
            bar.update(len(batch))
            if int(batch.positions[-1]) + 1 >= len(contents):
                break
    return None
