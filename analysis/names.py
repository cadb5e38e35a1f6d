"""Names as people read them: labels of networks, and blocks as the papers call them."""

import re
from collections.abc import Collection

_PRETTY = {
    "mini_resnet": "mini ResNet",
    "thin_resnet50": "thin ResNet-50",
    "thin_shufflenet": "thin ShuffleNet",
    "resnet50": "ResNet-50",
    "mini_shufflenet": "mini ShuffleNet",
    "shufflenet": "ShuffleNet",
}
_GATES = {"_se": "SE", "_ge_theta_plus": "GE-θ⁺", "_ge_theta_minus": "GE-θ⁻", "_ge_theta": "GE-θ"}


def pretty(label: str) -> str:
    """A network's label as a legend shows it.

    >>> pretty("mini_resnet_ge_theta_minus:extent=4,pool=max"), pretty("mine")
    ('mini ResNet GE-θ⁻ (E4, max)', 'mine')
    """
    name, _, settings = label.partition(":")
    for suffix, gate in _GATES.items():
        if name.endswith(suffix) and name.removesuffix(suffix) in _PRETTY:
            name = f"{_PRETTY[name.removesuffix(suffix)]} {gate}"
            break
    name = _PRETTY.get(name, name)
    short = [re.sub(r"^extent=(\d)", r"E\1", each) for each in settings.split(",")]
    short = [re.sub(r"^(extent|pool)=", "", each) for each in short]
    return f"{name} ({', '.join(short)})" if settings else name


def paper_name(block: str) -> str:
    """A block's name in the paper, or the block itself.

    >>> paper_name("layer3.0"), paper_name("layer3"), paper_name("features.2")
    ('conv4-1', 'conv4', 'features.2')
    """
    match = re.fullmatch(r"layer(\d+)(?:\.(\d+))?", block)
    if not match:
        return block
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
