"""gelens: what gates do to the features of convolutional networks.

Class selectivity, feature importance and accuracy of ResNet, Squeeze-and-Excitation and Gather-Excite networks, and
the figures and tables of the supplementary material of Hu et al., "Gather-Excite" (NeurIPS 2018).
"""

import importlib

if __name__ == "analysis":
    from .clone import become_gelens

    become_gelens()

_HOMES = {
    "StatedParts": ".networks.card",
    "capture": ".anatomy.hooks",
    "load_data": ".data",
    "load_network": ".networks",
    "describe": ".api",
    "evaluate": ".api",
    "images_for": ".api",
    "selectivity": ".api",
    "pruning": ".api",
    "compare": ".api",
    "layers": ".api",
    "open_run": ".analyses.result",
    "Result": ".analyses.result",
    **dict.fromkeys(("gates", "taps", "lesions", "levels", "rarefaction", "match", "ask"), ".api"),
    "train": ".training",
    "record": ".api",
    "merge": ".recording.merging",
    "open_recording": ".recording",
    "recording_from": ".recording.given",
    "ActivityRecorder": ".recorder",
    "ClassSelectivity": ".probes.class_selectivity",
    "FeatureImportance": ".probes.feature_importance",
    "GatherExcite": ".networks.gather_excite",
    "Shard": ".sweep.sharing",
    "SweepOptions": ".sweep.passing",
}
_MODULES = {
    "figures": ".figures",
    "diagrams": ".diagrams",
    "networks": ".networks",
    "data": ".data",
    "analyses": ".analyses",
    "report": ".report",
}

__all__ = [*_HOMES, *_MODULES]
__version__ = "0.1.0"


def __getattr__(name: str):
    """Import on first use: `import gelens` itself loads neither torch nor matplotlib."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name], __name__)
    raise AttributeError(f"module 'gelens' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *__all__])
