"""The code that a network of somebody's own file is built by: that file, and what it imports of their own files."""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

_OF_LIBRARIES = ("site-packages", "dist-packages")


def sources_hash(file: Path) -> str:
    """A hash of a file of code and of all that it imports, directly or not, of the user's own files; not of where."""
    digest = hashlib.sha256()
    for name, path in sorted(own_sources(file).items()):
        digest.update(f"{name}\n".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def own_sources(file: Path) -> dict[str, Path]:
    """By name of the module, the files; the first is called "".

    Those count that lie below a folder where Python looks for modules, which is no library's, or beside the file.
    """
    folders = [file.absolute().parent, *_own_folders()]
    found: dict[str, Path] = {}
    waiting = [("", file)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for imported in _imports(path, name):
            for place in _below(folders, imported):
                waiting.append((imported, place))
    return found


def _own_folders() -> list[Path]:
    libraries = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    folders = [Path(entry or ".").resolve() for entry in sys.path]
    gelens = Path(__file__).resolve().parents[2]
    return [
        each
        for each in folders
        if each.is_dir()
        and not set(_OF_LIBRARIES) & set(each.parts)
        and not any(each.is_relative_to(library) for library in libraries)
        and each != gelens
    ]


def _below(folders: Sequence[Path], module: str) -> Iterator[Path]:
    """The first file that a module's name stands for, if any."""
    base = Path(*module.split("."))
    for folder in folders:
        for path in (folder / base / "__init__.py", (folder / base).with_suffix(".py")):
            if path.is_file():
                yield path
                return


def _imports(path: Path, name: str) -> Iterator[str]:
    """Every module that a file may import, packages around it included; a name from a package may be a module too."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):  # who runs it says what is wrong
        return
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            wanted = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        else:
            continue
        for each in filter(None, wanted):
            parts = each.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
