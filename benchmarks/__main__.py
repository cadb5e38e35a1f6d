"""All benchmarks that this machine can run, one after the other, and the page of their tables.

python -m benchmarks [NAME ...]
"""

import argparse
import subprocess
import sys

import torch

from benchmarks.page import HERE, NAMES, TABLES, write

MORE = {"selectivity_statistics": ["--full"]}
"""Options of the page's tables, beside the defaults."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="of benchmarks; all by default")
    names = parser.parse_args().names or [name for name in NAMES if name != "gpu" or torch.cuda.is_available()]
    if strange := [name for name in names if name not in NAMES]:
        parser.error(f"no benchmark `{strange[0]}`; there are {', '.join(NAMES)}")
    failed = []
    for name in names:
        print(f"{name}:", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(TABLES), *MORE.get(name, [])]
        if subprocess.run(command, cwd=HERE.parent).returncode:
            failed.append(name)
        write()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
