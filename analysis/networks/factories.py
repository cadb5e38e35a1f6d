"""A factory in a user's file: run among its neighbours, given its settings as values, and asked whose weights it gives.

A factory that is given no weights may load some itself. That is proved, not asked: it is run again with other random
numbers, whatever seeds it sets, and weights that do not change are not random.
"""

import importlib.util
import random
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import UsageError, unknown
from .references import Reference
from .wrappers import unwrapped

OWN_WEIGHTS = "its factory gives it weights, which are the same ones when it runs again with other random numbers"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORDS = {"true": True, "false": False, "none": None}


def value_of(text: str) -> object:
    """What a setting of a factory is: a number, true, false or none where it reads like one, else text; so are quotes.

    >>> [value_of(text) for text in ("3", "1e-3", "false", "None", "max", "'3'", "'a,b'")]
    [3, 0.001, False, None, 'max', '3', 'a,b']
    """
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    return text


def run_factory(reference: Reference, again: bool = False) -> nn.Module:
    """The network that a factory gives: what a function or a class returns, or a network in the file.

    Args:
        again: whether it is run beside its first run, which keeps its modules.

    Raises:
        UsageError: no such file or name, one that fails, or something that is no network.
    """
    file, _, name = reference.name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"no file `{file}` to take the factory `{name}` from")
    package, root = _package_of(path.resolve().parent)
    with _among_neighbours(root), _among_neighbours(path.resolve().parent):
        try:
            module = _executed(path, package, again)
        except (Exception, SystemExit) as error:  # whatever a user's file raises
            raise UsageError(f"`{file}` cannot be run: {type(error).__name__}: {error}") from error
        found = getattr(module, name, None)
        if not callable(found):
            raise unknown(f"function in {file} called", name, [n for n in vars(module) if callable(vars(module)[n])])
        settings = {key: value_of(text) for key, text in reference.settings}
        if isinstance(found, nn.Module) and settings:
            raise UsageError(f"`{reference.name}` is a network, which takes no settings, but got {', '.join(settings)}")
        try:
            network = found if isinstance(found, nn.Module) else found(**settings)
        except (Exception, SystemExit) as error:
            raise UsageError(f"`{reference.name}` failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"`{reference.name}` returned a {type(network).__name__}; expected a torch.nn.Module")
    return unwrapped(network)


def why_random(reference: Reference, network: nn.Module) -> str | None:
    """Why weights that a factory gave are taken to be random: a sentence; None where they are shown not to be.

    Args:
        network: that it gave before.
    """
    numbers, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), _OtherDraws(), _other_seeds():
            other = run_factory(reference, again=True).state_dict()
    except UsageError as error:
        return f"whether they are its factory's own cannot be told, since it does not run twice: {error}"
    finally:
        random.setstate(numbers)
        np.random.set_state(legacy)
    for name, value in network.state_dict().items():
        if isinstance(value, torch.Tensor) and value.numel():
            same = name in other and value.data_ptr() != other[name].data_ptr() and torch.equal(value, other[name])
            if not same:
                return f"`{name}` is another one when its factory runs again with other random numbers"
    return None


@contextmanager
def _other_seeds() -> Iterator[None]:
    """Random numbers of Python and NumPy are others within the with-block, whatever seeds are set."""
    with ExitStack() as stack:
        for owner, name in ((random, "seed"), (np.random, "seed"), (np.random, "default_rng")):
            own = getattr(owner, name)
            stack.callback(setattr, owner, name, own)
            setattr(owner, name, lambda *args, own=own, **more: own())
        random.seed()
        np.random.seed()
        yield


class _OtherDraws(TorchDispatchMode):
    """Random numbers of torch are others within the with-block, by whatever seed they are drawn."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in function.tags:
            generator = kwargs.get("generator")
            told = [each.device for each in args if isinstance(each, torch.Tensor)]
            device = generator.device if generator is not None else [*told, kwargs.get("device")][0]
            torch.rand(1, generator=generator, device=device)  # the first number of those that follow
        return function(*args, **kwargs)


def _package_of(folder: Path) -> tuple[str, Path]:
    """The package that a folder is, as relative imports need it, and the folder that it is imported from."""
    names = []
    while (folder / "__init__.py").is_file():
        names.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(names)), folder


def _executed(path: Path, package: str, again: bool) -> ModuleType:
    """The file's module, registered as dataclasses and annotations need it, under a name that no other module has."""
    name = f"_factory_{sha256(str(path.resolve()).encode()).hexdigest()[:16]}{'_again' * again}"
    name = f"{package}.{name}".lstrip(".")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # of a name that ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _among_neighbours(folder: Path) -> Iterator[None]:
    """What is imported in the with-block is looked for beside the factory first, as Python does for a script.

    Afterwards neither folder nor neighbours are known any more: those of another factory may have the same names.
    """
    before, names = set(sys.modules), _importable(folder)
    hidden = {name: sys.modules.pop(name) for name in _hiding(folder, names)}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        known = before - hidden.keys()
        for name in [each for each in sys.modules if _top(each) in names and _top(each) not in known]:
            if _lies_in(sys.modules[name], folder):
                del sys.modules[name]
        sys.modules.update(hidden)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _importable(folder: Path) -> set[str]:
    """Names of modules and packages in a folder; those of the standard library are left to it."""
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    return {name for name in names if name.isidentifier()} - sys.stdlib_module_names


def _hiding(folder: Path, names: set[str]) -> list[str]:
    """Names of modules imported already, from elsewhere, that are called as the folder's own."""
    tops = set()
    for name in names & sys.modules.keys():
        module = sys.modules[name]
        own = (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
        # a mere folder gives way to a module or a package elsewhere, as it does to Python
        if not _lies_in(module, folder) and (own or getattr(module, "__file__", None) is None):
            tops.add(name)
    return [name for name in sys.modules if _top(name) in tops]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(Path(place).resolve().is_relative_to(folder) for place in places if place)
