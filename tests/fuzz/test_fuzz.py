"""Damaged files of every kind are read in one line of error, or read: nothing is run, changed elsewhere, or waited for.

Another look at one seed: `python -m tests.fuzz.test_fuzz SEED`.
"""

import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from random import Random

import click
import pytest

from gelens.errors import RunError, UsageError
from tests.fuzz.guard import guarded
from tests.fuzz.kinds import CANARY, KINDS, damaged

_NAMES = [name for name, kind in KINDS.items() for _ in range(kind.weight)]


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = os.fsencode(folder) + b"/" + name.encode("utf-8", "surrogateescape")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def one(seed: int, folder: Path) -> str | None:
    """What went wrong with a seed's input, if anything did."""
    rng = Random(seed)
    name = _NAMES[seed % len(_NAMES)]
    kind = KINDS[name]
    files = kind.make(rng)
    write(folder, (kind.damage or damaged)(files, rng))
    said = ""
    with guarded(folder, folder.parent / "cache") as wrong, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind.read(folder, rng)
        except (UsageError, RunError, click.ClickException) as error:
            if not str(error).strip() or len(str(error)) > 20_000:
                said = f"an error of {len(str(error))} characters"
        except Exception:
            said = traceback.format_exc()
    if CANARY.exists():
        CANARY.unlink()
        wrong.append("a file's code was run")
    said = "\n".join(filter(None, (said, *wrong)))
    return f"seed {seed} ({name}): {said}" if said else None


def check(seeds, folder: Path) -> None:
    import datasets

    wrong, before = [], datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = str(folder / "cache")
    outside = folder / "outside"
    outside.mkdir(parents=True)
    (outside / "thesis.tex").write_text("mine")
    try:
        for seed in seeds:
            if found := one(seed, folder / f"{seed:06d}"):
                wrong.append(found)
    finally:
        datasets.config.HF_DATASETS_CACHE = before
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("thesis.tex", "mine")]
    listed = "\n".join(wrong[:20])
    assert not wrong, f"{len(wrong)} of {len(seeds)} inputs; python -m tests.fuzz.test_fuzz SEED:\n{listed}"


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_damaged_is_read(name, tmp_path):
    """Else the damage would not be what is refused."""
    kind = KINDS[name]
    for seed in range(40):
        rng = Random(seed)
        write(tmp_path / str(seed), kind.make(rng))
        try:
            came_of_it = kind.read(tmp_path / str(seed), rng)
        except (UsageError, RunError):
            continue
        if not isinstance(came_of_it, int) or came_of_it == 0:
            return
    raise AssertionError("none of 40 is read")


def test_a_sample_of_damaged_files(tmp_path):
    check(range(80), tmp_path / "a")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_damaged_files(tmp_path, part):
    check(range(1000 + 1000 * part, 2000 + 1000 * part), tmp_path / "a")


def test_the_guard_sees_what_it_forbids(tmp_path):
    """Each of these would be a hole."""
    import pickle
    import shutil

    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    with guarded(inside) as wrong:
        (inside / "fine").write_text("x")
        (outside / "a").write_text("x")
    assert len(wrong) == 1 and "outside/a" in wrong[0]
    with guarded(inside) as wrong:
        subprocess.run(["true"], check=True)
        os.rename(inside / "fine", outside / "b")
        shutil.rmtree(outside)
        pickle.loads(pickle.dumps(Random))
    said = " ".join(wrong)
    assert all(event in said for event in ("subprocess.Popen", "os.rename", "shutil.rmtree", "pickle.find_class"))


def test_the_guard_sees_memory(tmp_path):
    """In a process of its own: memory that other tests freed, and that the C library keeps, would be taken anew."""
    code = f"""
from pathlib import Path
from tests.fuzz.guard import guarded
with guarded(Path({str(tmp_path)!r})) as wrong:
    held = bytearray(3 * 2**29)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    del held
assert len(wrong) == 1 and "GiB of memory" in wrong[0], wrong
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        print(one(int(sys.argv[1]), Path(where) / "one") or "nothing")
