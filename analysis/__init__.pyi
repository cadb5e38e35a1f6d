"""What `gelens` has, for type checkers and completion: its names are imported on first use."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import analyses as analyses
from . import data as data
from . import diagrams as diagrams
from . import figures as figures
from . import networks as networks
from .analyses.analysis import Analysis
from .analyses.result import Result as Result
from .analyses.result import open_run as open_run
from .anatomy.hooks import capture as capture
from .api import compare as compare
from .api import describe as describe
from .api import images_for as images_for
from .api import layers as layers
from .data import load_data as load_data
from .networks.card import StatedParts as StatedParts
from .networks.gather_excite import GatherExcite as GatherExcite
from .networks.loading import load_network as load_network
from .probes.class_selectivity import ClassSelectivity as ClassSelectivity
from .probes.feature_importance import FeatureImportance as FeatureImportance
from .recorder import ActivityRecorder as ActivityRecorder
from .recording import Recording
from .recording import open_recording as open_recording
from .recording.given import recording_from as recording_from
from .recording.merging import merge as merge
from .subjects import Networks
from .sweep.passing import SweepOptions as SweepOptions
from .sweep.sharing import Shard as Shard
from .training import train as train

__version__: str

def report(runs: Path | str | Sequence[Path | str], out: Path | str | None = ...) -> Path: ...
def record(
    networks: Networks,
    data: Any,
    stage: int | None = ...,
    blocks: Sequence[str] | None = ...,
    taps: Sequence[str] = ...,
    out: Path | str | None = ...,
    rectify: bool = ...,
    options: SweepOptions | None = ...,
    resume: bool = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    activities: str = ...,
    *,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Recording: ...
def evaluate(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    *,
    seed: int = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> pd.DataFrame: ...
def selectivity(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    stage: int | None = ...,
    blocks: Sequence[str] | None = ...,
    options: SweepOptions | None = ...,
    indices: str | Sequence[str] = ...,
    seed: int = ...,
    permutations: int = ...,
    replicates: int = ...,
    rectify: bool = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    *,
    tap: str = ...,
    groups: Path | Mapping[str, str] | None = ...,
    rotate: int | None = ...,
    save_means: bool = ...,
    no_calibration: bool = ...,
    reference: str | None = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
    index: str | tuple[str, ...] = ...,
) -> pd.DataFrame: ...
def pruning(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    stage: int | None = ...,
    blocks: Sequence[str] | None = ...,
    options: SweepOptions | None = ...,
    means_from: Any = ...,
    selectivity: pd.DataFrame | None = ...,
    ratios: Sequence[float] = ...,
    orders: Sequence[str] = ...,
    scores: str | Sequence[str] = ...,
    per_image: bool = ...,
    fill: str = ...,
    scope: str = ...,
    seed: int = ...,
    exact: bool = ...,
    rows: int | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    *,
    one_order: bool = ...,
    selectivity_from: Path | pd.DataFrame | None = ...,
    per_class: bool = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
    ratio: float | Sequence[float] = ...,
    order: str | Sequence[str] = ...,
    score: str | Sequence[str] = ...,
    class_curves: bool = ...,
) -> pd.DataFrame: ...
def gates(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    *,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    stage: int | None = ...,
    blocks: Sequence[str] = ...,
    seed: int = ...,
    permutations: int = ...,
    replicates: int = ...,
    means_from: str | None = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Result: ...
def taps(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    *,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    stage: int | None = ...,
    blocks: Sequence[str] = ...,
    seed: int = ...,
    permutations: int = ...,
    replicates: int = ...,
    rectify: bool = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Result: ...
def lesions(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    *,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    seed: int = ...,
    stage: int | None = ...,
    blocks: Sequence[str] = ...,
    units: int = ...,
    means_from: str | None = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Result: ...
def levels(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    *,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    seed: int = ...,
    stage: int | None = ...,
    blocks: Sequence[str] = ...,
    tap: str = ...,
    rectify: bool = ...,
    groups: Path | None = ...,
    wordnet: Path | None = ...,
    permutations: int = ...,
    replicates: int = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Result: ...
def rarefaction(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    *,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    seed: int = ...,
    stage: int | None = ...,
    blocks: Sequence[str] = ...,
    tap: str = ...,
    rectify: bool = ...,
    draws: int = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Result: ...
def match(
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    *,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    seed: int = ...,
    stage: int | None = ...,
    blocks: Sequence[str] = ...,
    tap: str = ...,
    rectify: bool = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
) -> Result: ...
def ask(
    analysis: Analysis | str,
    networks: Networks | Recording | Path | Sequence[Recording | Path],
    data: Any = ...,
    options: SweepOptions | None = ...,
    classes_by_position: bool = ...,
    untrained: bool = ...,
    *,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    workers: int | None = ...,
    progress: bool = ...,
    shard: Shard | None = ...,
    rehearse: bool = ...,
    together: bool = ...,
    compiled: bool | None = ...,
    **chosen: Any,
) -> Result: ...
