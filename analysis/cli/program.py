"""The command line: it parses and calls. Heavy imports come after parsing, so that --help answers at once."""

import click

from ..choices import FORMS
from .group import CONTEXT, Group

ALL = "Everything at once"
MEASURE = "Measure networks"
COMPUTE = "Compute from recordings and runs"
PREPARE = "Train and prepare"
LOOK_UP = "Look up"


DATA = ", ".join(f"{name}{form.place}" for name, form in FORMS.items())


@click.group(
    cls=Group,
    sections=(ALL, MEASURE, COMPUTE, PREPARE, LOOK_UP),
    context_settings=CONTEXT,
    help=f"""What gates do to the features of convolutional networks: class selectivity, feature importance, accuracy.

    A NETWORK is NAME[:key=value,…][@WEIGHTS], such as mini_resnet_ge_theta_minus:extent=4@weights.safetensors;
    `gelens networks` lists the names; timm/NAME, torchvision/NAME and path/to/file.py:factory are others.

    DATA is one of {DATA}; with #train, #val or #test after it. LABEL=NETWORK and LABEL=DATA choose the names in tables
    and figures.
    """,
)
@click.version_option(package_name="gelens")
def main():
    """Heavy imports come after parsing."""
