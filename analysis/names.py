"""Names as people read them: labels of networks, and blocks as the papers call them."""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PRETTY = {
    "mini_resnet": "mini ResNet",
    "thin_resnet50": "thin ResNet-50",
    "thin_shufflenet": "thin ShuffleNet",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "mini_shufflenet": "mini ShuffleNet",
    "shufflenet": "ShuffleNet",
}
UNTRAINED = "no weights were named: they are random"
"""The note that a network without weights has."""

GATES = {
    "se": "SE",
    "ge_theta_plus": "GE-θ⁺",
    "ge_theta_minus": "GE-θ⁻",
    "ge_theta": "GE-θ",
}
"""Gates of the catalogue's networks, as figures call them."""


def listed(blocks: Iterable[str]) -> str:
    """The names of blocks as in papers, in a sentence.

    >>> listed(["layer3.0", "layer3.1"])
    'conv4-1, conv4-2'
    """
    return ", ".join(map(paper_name, blocks))


def pretty(label: str) -> str:
    """A network's label as a legend shows it.

    >>> pretty("mini_resnet_ge_theta_minus:extent=4,pool=max"), pretty("mine")
    ('mini ResNet GE-θ⁻ (E4, max)', 'mine')
    >>> pretty("resnet50_se#2")  # a training of a group
    'ResNet-50 SE, seed 2'
    """
    group, mark, seed = str(label).rpartition("#")
    if mark and seed.isdecimal():
        return f"{pretty(group)}, seed {seed}"
    name, _, settings = str(label).partition(":")
    family, gate = family_and_gate(name)
    if family:
        name = f"{_PRETTY[family]} {GATES.get(gate, '')}".rstrip()
    short = [re.sub(r"^extent=(\d)", r"E\1", each) for each in settings.split(",")]
    short = [re.sub(r"^(extent|pool)=", "", each) for each in short]
    return f"{name} ({', '.join(short)})" if settings else name


def family_and_gate(network: str) -> tuple[str, str]:
    """The family and gate that a reference or label names; of a network that is none of ours, no family and "other".

    >>> family_and_gate("mini_resnet_ge_theta:extent=4@weights.safetensors"), family_and_gate("timm/resnet50")
    (('mini_resnet', 'ge_theta'), ('', 'other'))
    """
    name = re.split("[:@]", str(network), maxsplit=1)[0]
    if name in _PRETTY:
        return name, ""
    for gate in GATES:
        family = name.removesuffix(f"_{gate}")
        if family != name and family in _PRETTY:
            return family, gate
    return "", "other"


_as_in_papers: ContextVar[bool] = ContextVar("as_in_papers", default=True)
"""Whether `layer3` is known to be conv4_x."""


@contextmanager
def blocks_as_in_papers(known: bool) -> Iterator[None]:
    """Within the with-block, blocks of ResNets are called as in papers only if their stages are known to be ResNet's.

    A network for CIFAR whose `layer3` is its last stage has no conv4_x.
    """
    token = _as_in_papers.set(known)
    try:
        yield
    finally:
        _as_in_papers.reset(token)


def paper_name(block: str) -> str:
    """A block's name in the paper, or the block itself; see `blocks_as_in_papers`.

    >>> paper_name("layer3.0"), paper_name("layer3"), paper_name("features.2")
    ('conv4-1', 'conv4', 'features.2')
    """
    match = re.fullmatch(r"layer(\d+)(?:\.(\d+))?", str(block))
    if not match or not _as_in_papers.get():
        return str(block)
    return f"conv{int(match[1]) + 1}" + (f"-{int(match[2]) + 1}" if match[2] else "")


def unique_label(base: str, taken: Collection[str]) -> str:
    """The label, or the label with the first free number.

    >>> unique_label("a", {"a", "a-2"})
    'a-3'
    """
    label, number = base, 1
    while label in taken:
        number += 1
        label = f"{base}-{number}"
    return label


def file_name(label: str) -> str:
    """A label as a part of a file's name, the same for the same label and short enough for every file system.

    >>> file_name("mini_resnet_ge_theta_minus:extent=4,pool=max"), len(file_name("very long " * 50))
    ('mini_resnet_ge_theta_minus_extent=4_pool=max', 80)
    """
    name = re.sub(r"[^\w.=-]+", "_", str(label))
    if len(name.encode()) <= 80:
        return name
    mark = hashlib.sha256(str(label).encode()).hexdigest()[:8]
    return f"{name.encode()[:71].decode(errors='ignore')}_{mark}"
