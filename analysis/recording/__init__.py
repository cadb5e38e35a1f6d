"""The recording: what a pass kept of every image, one row an image. Reading it needs no torch and no network."""

from .format import Kept
from .store import Recording, open_recording

__all__ = ["Kept", "Recording", "open_recording"]
