"""Weights files and the layouts found in them: whose names, which settings they imply, what they cannot tell."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from ..errors import RunError, UsageError, plain, unknown
from ..untrusted import Fields, Listed, Whose, allowance, check_archive, load_arrays, open_regular, parse_json
from . import mindspore
from .checkpoint_series import file_and_part
from .groups import LONGEST_SEED
from .preprocessing import CROP_MODES, Preprocessing

State = dict[str, torch.Tensor]

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "network", "net")
"""Parts of a checkpoint, the first that is there being taken; another one only where it is alone."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
_EXTRA = "_extra_state"
"""What a module keeps beside tensors is called so, after its own name."""
LARGEST = 2**33
"""Bytes that a zipped file may unpack to: many times a ResNet-101 with its optimiser."""

LARGEST_SIDE = 4096
"""Pixels of an image's side as a network is shown it: a batch of 64 has 3 GiB of bytes there."""
_INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos")
PREPROCESSING = Fields(
    {
        "size": Whose(int, lambda size: 1 <= size <= LARGEST_SIDE, f"1 … {LARGEST_SIDE} pixels"),
        "crop_pct": Whose(float, lambda share: 0 < share <= 2, "a share above 0"),
        "interpolation": Whose(str, _INTERPOLATIONS.__contains__, f"one of {', '.join(_INTERPOLATIONS)}"),
        "mean": Whose(Listed(float), lambda mean: len(mean) in (1, 3), "a number for each channel"),
        "std": Whose(Listed(float), lambda std: len(std) in (1, 3) and min(std) > 0, "a number above 0 each channel"),
    },
    {"crop_mode": Whose(str, CROP_MODES.__contains__, f"one of {', '.join(CROP_MODES)}")},
)
"""What `gelens.networks.Preprocessing` is as JSON."""
CLASS_NAMES = Listed(str)
"""What the names of a network's classes are as JSON."""

_NUMBERS = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
"""The types of numbers that weights may have."""


@dataclass
class Checkpoint:
    """A state with our names.

    Args:
        state: tensors by our networks' names.
        layout: whose names they were.
        settings: settings of the network that the layout implies, such as where stride 2 sits.
        preprocessing: what the weights were trained with, where that is known.
        notes: what was assumed or chosen, a sentence each.
        metadata: of a safetensors file.
        raw: the tensors by the names they had, and what modules keep beside them.
        published: whether a library, or gelens itself, vouches for what the weights are.
        class_names: of the classes that they were trained on, where those are known.
    """

    state: State
    layout: str
    settings: dict[str, str] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    raw: State = field(default_factory=dict)
    published: bool = False
    class_names: tuple[str, ...] = ()


def check_side(size: int | None) -> None:
    """Raise a UsageError for an image's side, in pixels, that cannot be meant."""
    if size is not None and not 1 <= size <= LARGEST_SIDE:
        raise UsageError(f"images of {size} px cannot be shown to a network; expected 1 … {LARGEST_SIDE} px")


def read_checkpoint(weights: str) -> Checkpoint:
    """Read a weights file and bring its names to ours. Nothing is unpickled but tensors and plain values.

    Args:
        weights: FILE, or FILE#PART where it holds several states.

    Raises:
        UsageError: there is no such file, or no such part.
        RunError: it is damaged, or holds something else.
    """
    file, part = file_and_part(weights)
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"no weights file `{file}`")
    try:
        raw, metadata = _read(path)
        return recognise(_part_of(file, raw, part), metadata, largest=allowance(path.stat().st_size))
    except UsageError:
        raise
    except pickle.UnpicklingError as error:  # torch's own text advises to load it all the same
        raise RunError(f"cannot read weights `{file}`: {_what_is_unsafe(path)}") from error
    except (Exception, MemoryError) as error:  # a damaged file may raise anything of zip, pickle, numpy or torch
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"cannot read weights `{file}`: {reason}") from error


def _read(path: Path) -> tuple[object, dict[str, str]]:
    """Whatever a file holds, by its content rather than its name, and a safetensors file's metadata."""
    with open_regular(path) as opened:
        start = opened.read(9)
    # a safetensors file begins with the length of its header, whose bytes may be any, and the header's brace
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        with safe_open(path, "pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    if start[:2] == b"PK":
        largest = min(LARGEST, allowance(path.stat().st_size))
        with path.open("rb") as opened:
            check_archive(opened, largest)
            with zipfile.ZipFile(opened) as archive:
                names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                raise ValueError(
                    "it is a TorchScript program, which is never run: save torch.jit.load(FILE).state_dict(), or that "
                    "of the network that it was made of"
                )
            if not any(name.endswith(("/data.pkl", ".npy")) for name in names):
                raise ValueError("it is an archive without a state, as of torch.export: save model.state_dict()")
            if all(name.endswith(".npy") for name in names):
                return {key: torch.from_numpy(value) for key, value in load_arrays(opened).items()}, {}
        return _load_tensors(path), {}
    if start[:1] == b"\x80":
        return _load_tensors(path), {}
    if path.suffix == ".caffemodel":
        raise ValueError(
            "it is in Caffe's own format: in Caffe, save its blobs by numpy.savez, each as LAYER/NUMBER, such as "
            "conv4_2/1x1_increase/0"
        )
    if path.suffix == ".ckpt" or start[:1] == b"\x0a":
        return mindspore.read(path), {}
    raise ValueError("it is no safetensors, torch, npz or MindSpore file")


_SCALARS = "?bhilqBHILQefdU"
"""NumPy's kinds of truth values, numbers and texts."""


def _load_tensors(path: Path) -> object:
    # training scripts save their arguments, best scores and epochs beside the state: plain values in these wrappings
    reduced = np.float64(0).__reduce__()
    assert isinstance(reduced, tuple)
    scalar: Callable = reduced[0]
    harmless: list[Callable] = [argparse.Namespace, np.dtype, *(type(np.dtype(kind)) for kind in _SCALARS), scalar]
    allowed = torch.serialization.safe_globals([*harmless, (scalar, "numpy.core.multiarray.scalar")])
    with allowed, path.open("rb") as opened:  # an open file: torch judges a path by its suffix
        return torch.load(opened, map_location="cpu", weights_only=True)


def _what_is_unsafe(path: Path) -> str:
    try:
        names = ", ".join(torch.serialization.get_unsafe_globals_in_checkpoint(str(path))[:3])
    except Exception:  # the file may be damaged in any way besides
        names = ""
    held = names or "something other than tensors and plain containers"
    return f"it holds {held}, which is never unpickled; save model.state_dict() alone"


def recognise(raw: object, metadata: Mapping[str, str] | None = None, largest: int | None = None) -> Checkpoint:
    """Unwrap a loaded object, recognise its layout by its keys, and convert it to our names.

    Args:
        raw: what a file holds.
        metadata: of a safetensors file.
        largest: bytes that all tensors may have together.

    Raises:
        ValueError: it is no mapping from names to tensors, or its arrays do not fit its layout.
    """
    state, notes = _unwrap(raw)
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    _check_tensors(tensors, largest)
    bare = list(_without_prefixes(tensors))[-1]
    layout = next(layout for layout in LAYOUTS if layout.matches(bare))
    checkpoint = layout.convert(bare)
    checkpoint.notes = notes + checkpoint.notes
    checkpoint.raw, checkpoint.metadata = state, dict(metadata or {})
    if "preprocessing" in checkpoint.metadata:
        checkpoint.preprocessing = _preprocessing(checkpoint.metadata["preprocessing"])
    if len(seed := checkpoint.metadata.get("seed", "")) > LONGEST_SEED:
        raise ValueError(f"its metadata's seed has {len(seed)} characters; expected at most {LONGEST_SEED}")
    if "classes" in checkpoint.metadata:
        checkpoint.class_names = tuple(_told("classes", checkpoint.metadata["classes"], CLASS_NAMES))
    return checkpoint


def _told(name: str, text: str, shape):
    """A value of a file's metadata, which are JSON."""
    try:
        return parse_json(text, shape)
    except ValueError as error:
        raise ValueError(f"its metadata's {name}: {error}") from error


def _preprocessing(text: str) -> Preprocessing:
    values = _told("preprocessing", text, PREPROCESSING)
    known = (*PREPROCESSING.needed, *PREPROCESSING.others)
    return Preprocessing.from_dict({name: values[name] for name in known if name in values})


def _check_tensors(state: State, largest: int | None) -> None:
    """Refuse tensors that are no arrays of numbers in memory, or say to be larger than what is stored."""
    claimed = 0
    for key, value in state.items():
        kind = "nested" if value.is_nested else "quantised" if value.is_quantized else None
        kind = kind or (str(value.layout).removeprefix("torch.") if value.layout != torch.strided else None)
        kind = kind or ("without values" if value.is_meta else None)
        if kind:
            raise ValueError(f"tensor `{key}` is {kind}; expected a dense one")
        if value.dtype not in _NUMBERS:
            known = ", ".join(str(each).removeprefix("torch.") for each in _NUMBERS)
            raise ValueError(f"tensor `{key}` is of {value.dtype}; expected {known}")
        claimed += value.numel() * value.itemsize
        if largest is not None and claimed > largest:
            raise ValueError(f"its tensors up to `{key}` say to have {claimed} bytes; expected at most {largest}")


def _part_of(file: str, raw: object, part: str | None) -> object:
    if part is None:
        return raw
    parts = {str(key): value for key, value in raw.items()} if isinstance(raw, Mapping) else {}
    if part not in parts:
        raise unknown(f"part of `{file}` called", part, map(plain, parts))
    return parts[part]


def _unwrap(raw: object) -> tuple[State, list[str]]:
    """The state in a checkpoint, and what is said of how it was found."""
    notes = []
    while isinstance(raw, Mapping) and not _is_state(raw):
        nests = [name for name, inner in raw.items() if isinstance(name, str) and _holds_state(inner)]
        known = [name for name in _WRAPPERS if name in nests]
        if not known and len(nests) != 1:
            raise ValueError(_what_is_held(raw, nests))
        taken = (known or nests)[0]
        if others := [plain(name) for name in nests if name != taken]:
            listed = ", ".join(f"`{name}`" for name in others[:_LISTED])
            notes.append(f"took `{taken}` of the checkpoint, not {listed}: FILE#{others[0]} takes that")
        elif "ema" in taken or not known:
            notes.append(f"took `{plain(taken)}` of the checkpoint{', a running average' * ('ema' in taken)}")
        raw = raw[taken]
    if not isinstance(raw, Mapping):
        raise ValueError("it holds no mapping of names to tensors")
    return {key: value for key, value in raw.items() if key != _AVERAGED}, notes


_AVERAGED = "n_averaged"
"""A count in the state of torch's averaged networks."""
_LISTED = 6
"""Of many names, those that a message has."""


def _is_state(value: object) -> bool:
    """Whether it is a mapping of names to tensors, and to what modules keep beside them."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    rest = [key for key, each in value.items() if not isinstance(each, torch.Tensor)]
    return len(rest) < len(value) and all(_is_extra(key) for key in rest)


def _is_extra(key: str) -> bool:
    return key.rpartition(".")[2] == _EXTRA


def _holds_state(value: object, deep: int = 4) -> bool:
    """Whether a part of a checkpoint is a state or has one inside; an optimiser's is none."""
    if not isinstance(value, Mapping) or "param_groups" in value or not all(isinstance(key, str) for key in value):
        return False
    return _is_state(value) or (deep > 0 and any(_holds_state(inner, deep - 1) for inner in value.values()))


def _what_is_held(raw: Mapping, nests: Sequence[str]) -> str:
    if nests:
        listed = ", ".join(f"`{plain(name)[:40]}`" for name in nests[:_LISTED])
        return f"it holds {len(nests)} states, {listed}: name one as FILE#{plain(nests[0])[:40]}"
    listed = ", ".join(f"`{plain(key)[:40]}` ({type(value).__name__})" for key, value in list(raw.items())[:_LISTED])
    return f"it holds no mapping of names to tensors, but {listed or 'nothing'}"


def _without_prefixes(state: State) -> Iterator[State]:
    """The state, and as often as all of its names begin with what wrappers put before them, without that."""
    yield state
    for prefix in _PREFIXES * 2:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            yield state


def spelled(state: State, names: Iterable[str]) -> State:
    """A state by the names of somebody's network, which may themselves begin as wrappers' do.

    >>> list(spelled({"module.backbone.w": torch.ones(1)}, ["backbone.w"]))
    ['backbone.w']
    """
    own = set(names)
    found = [each for bare in _without_prefixes(state) for each in (bare, renamed(bare, _DENSENET))]
    return max(found, key=lambda each: len(own & each.keys()))  # the first of equals


_DENSENET = (r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2")
"""Published DenseNets are older than the rule that a module's name has no dot."""


@dataclass(frozen=True)
class Layout:
    """One family of names: how to know it, and how to bring it to ours."""

    matches: Callable[[State], bool]
    convert: Callable[[State], Checkpoint]


def renamed(state: State, *rules: tuple[str, str]) -> State:
    """A state whose names went through rules in turn, each a pattern and its replacement, as of `re.sub`.

    Raises:
        ValueError: two of its tensors have one name then.
    """
    result: State = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        _put(result, key, value)
    return result


def _put(state: dict, key, value) -> None:
    if key in state:
        raise ValueError(f"two of its tensors are `{key}`")
    state[key] = value


def _from_cadene(state: State) -> Checkpoint:
    """Cadene's pretrained-models and timm's legacy_seresnet: layer0, se_module, last_linear."""
    rules = ((r"^layer0\.", ""), (r"\.se_module\.", ".se."), (r"^last_linear\.", "fc."))
    return Checkpoint(renamed(state, *rules), "Cadene (legacy SE-ResNet)", {"stride_in": "1x1"})


def _from_moskomule(state: State) -> Checkpoint:
    """moskomule's senet.pytorch: SE as two Linear layers without bias on torchvision's ResNet."""
    ours = renamed(state, (r"\.se\.fc\.0\.", ".se.fc1."), (r"\.se\.fc\.2\.", ".se.fc2."))
    state = {key: value[..., None, None] if ".se.fc" in key else value for key, value in ours.items()}
    return Checkpoint(state, "moskomule senet.pytorch", {"stride_in": "3x3", "bias": "false"})


_CAFFE_PARTS = {
    "1x1_reduce": "conv1",
    "3x3": "conv2",
    "1x1_increase": "conv3",
    "1x1_proj": "downsample.0",
    "1x1_reduce/bn": "bn1",
    "3x3/bn": "bn2",
    "1x1_increase/bn": "bn3",
    "1x1_proj/bn": "downsample.1",
    "1x1_down": "se.fc1",
    "1x1_up": "se.fc2",
    "gather": "se.gather.0",
    "gather/bn": "se.gather.1",
    "excite/1x1_down": "se.excite.1",
    "excite/1x1_up": "se.excite.3",
}
_CAFFE_STEM = {"conv1/7x7_s2": "conv1", "conv1/7x7_s2/bn": "bn1", "classifier": "fc"}
_CAFFE_BLOB = re.compile(r"^(.*?)(?:[./:](\d|weight|bias|gamma|beta|mean|var|variance))?$")
_CAFFE_ORDER = {"weight": 0, "bias": 1, "gamma": 0, "beta": 1, "mean": 2, "var": 3, "variance": 3}


def _from_caffe(state: State) -> Checkpoint:
    """Caffe SENet and GENet: layers `conv4_2/1x1_increase/bn`, their blobs as `LAYER/0`, `LAYER/1` … or by name.

    Batch norm is one layer (γ, β, mean, variance) or two: `bn` (mean, variance, factor) and `bn/scale` (γ, β).
    """
    layers: dict[str, dict[int, torch.Tensor]] = {}
    for key, value in state.items():
        parts = _CAFFE_BLOB.match(key)
        if parts is None:  # it has lines
            raise ValueError(f"layer `{plain(key)}` is not of a Caffe SENet or GENet")
        layer, blob = parts.groups()
        layer = re.sub(r"^(conv\d_\d+)_", r"\1/", layer)
        number = int(blob) if blob and blob.isdigit() else _CAFFE_ORDER[blob or "weight"]
        _put(layers.setdefault(layer, {}), number, value)
    result: State = {}
    for layer, blobs in layers.items():
        if layer.endswith("/scale"):
            if layer.removesuffix("/scale") not in layers:
                raise ValueError(f"scale layer `{layer}` has no batch norm before it")
            continue
        ours = _caffe_name(layer)
        if layer.endswith("/bn"):
            result |= _caffe_batch_norm(layer, ours, blobs, layers.get(f"{layer}/scale"))
            continue
        if not {0} <= set(blobs) <= {0, 1}:
            raise ValueError(f"layer `{layer}` has the blobs {sorted(blobs)}; expected weights and perhaps biases")
        weight = blobs[0]
        if ours == "conv1":
            weight = weight.flip(1)  # BGR to RGB
        if ours == "fc":
            weight = weight.reshape(weight.shape[-2], weight.shape[-1])
        result[f"{ours}.weight"] = weight
        if 1 in blobs:
            result[f"{ours}.bias"] = blobs[1].reshape(-1)
    # the published models subtract these means from pixels in 0 … 255 and do not scale
    preprocessing = Preprocessing(224, 0.875, "bilinear", (123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3)
    note = (
        "Caffe names: taken to expect BGR pixels less (104, 117, 123), unscaled, 224 px cut from 256, and to have "
        "strides in the first 1×1 and an unpadded max pool, as the published definitions have"
    )
    return Checkpoint(result, "Caffe SENet/GENet", {"stride_in": "1x1"}, preprocessing, [note])


def _caffe_name(layer: str) -> str:
    if layer in _CAFFE_STEM:
        return _CAFFE_STEM[layer]
    match = re.fullmatch(r"conv(\d)_(\d+)/(.*)", layer)
    if not match or match[3] not in _CAFFE_PARTS:
        raise ValueError(f"layer `{layer}` is not of a Caffe SENet or GENet")
    return f"layer{int(match[1]) - 1}.{int(match[2]) - 1}.{_CAFFE_PARTS[match[3]]}"


def _caffe_batch_norm(layer: str, ours: str, blobs: dict, scale: dict | None) -> State:
    if scale is not None:
        named = set(blobs) == {2, 3}  # mean and variance by name
        if not (named or set(blobs) in ({0, 1}, {0, 1, 2})) or set(scale) != {0, 1}:
            raise ValueError(f"batch norm `{layer}` beside its scale layer has the blobs {sorted(blobs)}")
        mean, variance = (blobs[2], blobs[3]) if named else (blobs[0], blobs[1])
        if not named and 2 in blobs:  # the factor that both were multiplied by
            factor = blobs[2].reshape(-1)[0]
            if factor == 0:
                raise ValueError(f"batch norm `{layer}` was never trained: its factor is 0")
            mean, variance = mean / factor, variance / factor
        values = (scale[0], scale[1], mean, variance)
    elif set(blobs) == {0, 1, 2, 3}:
        values = tuple(blobs[number] for number in range(4))
    else:
        raise ValueError(f"batch norm `{layer}` has the blobs {sorted(blobs)}; expected γ, β, mean, variance")
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{ours}.{name}": value.reshape(-1) for name, value in zip(names, values, strict=True)}


def _from_mindspore(state: State) -> Checkpoint:
    """MindSpore's GENet_Res50 (genetres50): gamma, moving_mean, downop, mlpLayer, down_layer, end_point."""
    ours = renamed(
        state,
        (r"\.conv(\d)\.conv\.", r".conv\1."),
        (r"\.conv(\d)\.batchnorm\.", r".bn\1."),
        (r"\.down_layer\.conv\.", ".downsample.0."),
        (r"\.down_layer\.batchnorm\.", ".downsample.1."),
        (r"\.downop\.", ".se.gather."),
        (r"\.mlpLayer\.", ".se.excite."),
        (r"^end_point\.", "fc."),
        (r"\.gamma$", ".weight"),
        (r"\.beta$", ".bias"),
        (r"\.moving_mean$", ".running_mean"),
        (r"\.moving_variance$", ".running_var"),
    )
    settings = {"stride_in": "3x3", "port": "mindspore"}
    return Checkpoint(ours, "MindSpore GENet_Res50", settings)


def _from_torch(state: State) -> Checkpoint:
    return Checkpoint(state, "torchvision, timm or gelens")


LAYOUTS = [
    Layout(lambda state: "conv1/7x7_s2" in " ".join(state), _from_caffe),
    Layout(lambda state: any(key.endswith(".moving_mean") for key in state), _from_mindspore),
    Layout(lambda state: any(key.startswith("layer0.") for key in state), _from_cadene),
    Layout(lambda state: any(".se.fc.0." in key for key in state), _from_moskomule),
    Layout(lambda state: True, _from_torch),
]
"""In the order they are tried: names that no other layout has come first."""
