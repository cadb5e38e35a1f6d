"""Statistics need neither torch nor any room that does."""

import json
import subprocess
import sys


def test_statistics_import_no_torch_not_even_indirectly():
    program = (
        "import json, sys, gelens.statistics, gelens.statistics.comparison, gelens.statistics.curves\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'torchvision', 'timm', 'matplotlib'}))\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('gelens.') and name.count('.') == 1]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    heavy, rooms = done.stdout.splitlines()
    assert heavy == "[]"
    assert set(json.loads(rooms)) <= {
        f"gelens.{room}" for room in ("statistics", "errors", "files", "names", "processes", "randomness")
    }
