"""Pictures of strangers: of the formats of photographs alone, and of a size that can be decoded.

Pillow recognises a picture by its content and would run Ghostscript for some; what it is called says nothing.
"""

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from ..untrusted import open_regular

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
"""Decoded by Pillow itself, without a look at any other file. JPEG's are those of several pictures too (MPO)."""
LARGEST = 89_478_485
"""Pixels, a quarter of a GiB in RGB: from here on Pillow itself warns of an attack."""
MOST_ELONGATED = 200
"""The longer side over the shorter: resized by its shorter side, a line of one pixel would become gigabytes."""
LARGE = 16_000_000
"""Pixels from which on pictures are decoded one at a time, however many threads read."""

MOST_SCANS = 100
"""Of a JPEG, each as long as decoding it once; progressive ones have about ten."""
LEAST_JPEG = 1 / 1024
"""Bytes a pixel of a whole JPEG: 64 pixels take at least two bits, for each colour a quarter of that at most."""

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's readers raise of a damaged picture, or of one that is written in a way they know no reading for."""

_large = threading.Lock()


def open_picture(source: Path | bytes) -> Image.Image:
    """A picture whose head is read, to be decoded later.

    Raises:
        OSError: there is none, or it is of no format of `FORMATS`.
        ValueError: it is no regular file, or of a size that nobody would want decoded.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
    try:
        image = Image.open(file, formats=FORMATS)
        _check_size(*image.size)
    except BaseException:
        file.close()
        raise
    if not isinstance(source, bytes):
        image._exclusive_fp = True  # as Pillow has it of what it opens by name: the file is closed once it is decoded
    return image


def _check_size(width: int, height: int) -> None:
    """Before anything is decoded."""
    if width * height > LARGEST:
        raise ValueError(
            f"it has {width} × {height} pixels, {width * height / 1e6:.0f} megapixels; expected at most "
            f"{LARGEST / 1e6:.0f} megapixels"
        )
    longer, shorter = max(width, height), max(min(width, height), 1)
    if longer > MOST_ELONGATED * shorter:
        raise ValueError(
            f"it is {width} × {height} pixels, {longer // shorter} times as long as wide; expected at most "
            f"{MOST_ELONGATED} times"
        )


def _check_jpeg(image: Image.Image) -> None:
    """Of one that is not decoded yet: what its bytes do not say, the decoder would fill with grey."""
    file = getattr(image, "fp", None)
    if file is None:
        return
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    reduced = (*getattr(image, "decoderconfig", ()), 1)[0]  # by Image.draft
    width, height = image.width * reduced, image.height * reduced
    if len(content) < (least := int(LEAST_JPEG * width * height)):
        raise ValueError(
            f"it has {len(content)} bytes for {width} × {height} pixels; expected at least {least}: it is cut short"
        )
    if (scans := content.count(b"\xff\xda")) > MOST_SCANS:
        raise ValueError(f"it has {scans} scans; expected at most {MOST_SCANS}")


@contextmanager
def decoding(image: Image.Image) -> Iterator[None]:
    """Around whatever decodes a picture: large ones wait for each other, so that threads need not memory for each.

    Raises:
        ValueError: a JPEG that its bytes cannot fill, or that would be decoded over and over.
    """
    if image.format in ("JPEG", "MPO"):
        _check_jpeg(image)
    if image.width * image.height < LARGE:
        yield
    else:
        with _large:
            yield
