"""gelens: what gates do to the features of convolutional networks.

Class selectivity, feature importance and accuracy of ResNet, Squeeze-and-Excitation and Gather-Excite networks, and
the figures and tables of the supplementary material of Hu et al., "Gather-Excite" (NeurIPS 2018).
"""

import importlib

_HOMES = {
    "capture": "analysis.anatomy.hooks",
    "load_data": "analysis.data",
    "load_network": "analysis.networks",
    "evaluate": "analysis.api",
    "selectivity": "analysis.api",
    "pruning": "analysis.api",
    "train": "analysis.training",
    "record": "analysis.api",
    "merge": "analysis.recording.merging",
    "open_recording": "analysis.recording",
    "ActivityRecorder": "analysis.recorder",
    "ClassSelectivity": "analysis.probes.class_selectivity",
    "FeatureImportance": "analysis.probes.dropping",
    "GatherExcite": "analysis.networks.gather_excite",
    "Shard": "analysis.sweep.sharing",
    "SweepOptions": "analysis.sweep.passing",
}
_MODULES = {
    "figures": "analysis.figures",
    "diagrams": "analysis.diagrams",
    "networks": "analysis.networks",
    "data": "analysis.data",
}

__all__ = [*_HOMES, *_MODULES]
__version__ = "0.1.0"


def __getattr__(name: str):
    """Import on first use: `import analysis` itself loads neither torch nor matplotlib."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'analysis' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *__all__])
