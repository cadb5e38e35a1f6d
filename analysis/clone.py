"""In a clone the package's folder is called `analysis`; installed it is `gelens`. Of every module there is one.

`import analysis.errors` gives the module `gelens.errors` of the clone that the folder lies in, installed or not.
"""

import importlib
import sys
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

_PREFIX = "analysis."


def become_gelens() -> None:
    """Let `analysis` and all below it be other names of `gelens`, made of this very folder."""
    folder = Path(__file__).parent
    if "gelens" not in sys.modules:
        spec = spec_from_file_location("gelens", folder / "__init__.py", submodule_search_locations=[str(folder)])
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        sys.modules["gelens"] = module
        spec.loader.exec_module(module)
    sys.modules["analysis"] = sys.modules["gelens"]
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, _Loader()) if name.startswith(_PREFIX) else None


class _Loader(Loader):
    """Gives the module of the same name in gelens, and leaves it as it is."""

    def create_module(self, spec):
        module = importlib.import_module("gelens." + spec.name.removeprefix(_PREFIX))
        self.own = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self.own

    def get_code(self, name):
        """For `python -m analysis`."""
        own = find_spec("gelens." + name.removeprefix(_PREFIX))
        assert own is not None and isinstance(own.loader, InspectLoader)
        return own.loader.get_code(own.name)
