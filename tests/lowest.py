"""The lowest versions that setup.cfg allows, as constraints for pip: `make lowest` installs them and runs fast tests.

python -m tests.lowest > versions.txt
"""

import re
from configparser import ConfigParser
from pathlib import Path

EXTRAS = ("report", "train", "digits")
"""`hf` is left out: datasets itself takes newer versions than the others' lowest."""


def lowest(setup: Path) -> list[str]:
    """A constraint for each direct dependency of the package and of its extras."""
    config = ConfigParser()
    config.read(setup)
    listed = [config["options"]["install_requires"], *(config["options.extras_require"][name] for name in EXTRAS)]
    found = re.findall(r"^([\w-]+)>=([\d.]+)$", "\n".join(listed), re.MULTILINE)
    return [f"{name}=={version}" for name, version in found]


if __name__ == "__main__":
    print("\n".join(lowest(Path(__file__).parents[1] / "setup.cfg")))
