"""`python -m gelens COMMAND`, as `gelens COMMAND`."""

from gelens.cli import main

main(prog_name="gelens")
