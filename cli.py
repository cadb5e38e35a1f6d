"""The command line of a clone: `python cli.py COMMAND`, as `gelens COMMAND`; its commands are in `analysis/cli`."""

from analysis.cli import main

if __name__ == "__main__":
    main(prog_name="gelens")
