"""`gelens push`: a network with its weights as a folder in the hub's layout, uploaded where that is asked for."""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import UsageError
from ..networks.hub import upload, write_folder
from ..networks.references import parse

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Push:
    """A network, and where it goes.

    Args:
        network: a reference with weights.
        repository: a folder, or OWNER/NAME on the hub where it is uploaded.
        licence: of the weights, by the hub's name for it.
        upload: to the hub.
    """

    network: str
    repository: str
    licence: str | None = None
    upload: bool = False

    def push(self) -> str:
        """Where it is: a folder or an address.

        Raises:
            UsageError: what is uploaded has no name of the hub's.
        """
        reference = parse(self.network)
        if not self.upload:
            write_folder(reference, Path(self.repository), self.licence)
            return self.repository
        if not _REPOSITORY.fullmatch(self.repository):
            raise UsageError(f"`{self.repository}` is no repository of the hub; expected OWNER/NAME")
        with TemporaryDirectory() as temporary:
            write_folder(reference, Path(temporary), self.licence)
            return upload(Path(temporary), self.repository)
