"""What is imported before a pass: nothing that draws."""

import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT

PROGRAM = """
import sys
import torch
from torch.nn.modules.module import register_module_forward_hook
from cli import main

def say(module, given, output):
    print([name for name in ("matplotlib", "seaborn", "bokeh") if name in sys.modules])
    raise SystemExit

register_module_forward_hook(say)
main(["selectivity", "mini_shufflenet", "--untrained", "--data", "digits", "--limit", "20", "--out", sys.argv[1]])
"""


@pytest.mark.slow
def test_nothing_that_draws_is_imported_before_the_first_batch(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]"]
