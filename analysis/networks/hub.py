"""A network as a folder in the layout of the Hugging Face hub: model.safetensors, config.json and README.md.

`config.json` of timm's networks is timm's own; that of others says by which reference gelens builds them. Weights that
come with gelens have such a config.json and README.md beside them: `python -m gelens.networks.hub` writes these anew.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, cast

from torch import nn

from ..errors import RunError, UsageError, plain
from ..files import atomic_path
from . import shipped
from .card import card_of
from .checkpoint_series import HUB_WEIGHTS
from .counting import count_parameters
from .loading import load_network, save_weights
from .preprocessing import preprocessing_of
from .references import Reference

CONFIG, README = "config.json", "README.md"
FILES = (HUB_WEIGHTS, CONFIG, README)


def write_folder(reference: Reference, folder: Path, licence: str | None = None) -> nn.Module:
    """Write a network with its weights into a folder; the network.

    Args:
        reference: with weights.
        folder: a new or an empty one, or one that holds such files.
        licence: of the weights, by the hub's name for it; left out where it is not known.

    Raises:
        UsageError: the reference has no weights, or the folder holds other files.
    """
    network = load_network(reference)
    card = card_of(network)
    if card.untrained:
        raise UsageError(f"`{reference}` has random weights, and nobody needs those: write {reference}@FILE")
    if folder.is_dir() and (others := [each.name for each in folder.iterdir() if each.name not in FILES]):
        raise UsageError(f"`{folder}` holds `{others[0]}`; expected a new folder, or one that was pushed before")
    name = _name(reference, network)
    folder.mkdir(parents=True, exist_ok=True)
    seed = {} if card.training_seed is None else {"seed": str(card.training_seed)}
    with atomic_path(folder / HUB_WEIGHTS) as temporary:
        save_weights(network, temporary, reference=name, format="pt", **seed)
    known = shipped.find(reference)
    _describe(network, name, [known.card] if known else [], licence, folder)
    return network


def upload(folder: Path, repository: str) -> str:
    """Upload a folder to the hub as OWNER/NAME, which is made where it is not there; the address.

    Raises:
        RunError: huggingface_hub is not installed, or the hub refuses.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise RunError("uploading needs huggingface_hub: pip install huggingface_hub") from error
    try:
        hub = HfApi()
        hub.create_repo(repository, exist_ok=True)
        return str(hub.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(FILES)))
    except Exception as error:  # whatever the hub and the network raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"cannot upload `{folder}` to {repository}: {reason}") from error


def describe(folder: Path, into: Path) -> None:
    """Write config.json and README.md of the trainings of one network that come with gelens.

    Args:
        folder: of the trainings.
        into: the folder of the files.
    """
    mine = [each for each in shipped.everything() if each.path.parent == folder]
    network = load_network(mine[0].reference)
    licence = mine[0].card["licence"].partition(";")[0].lower()
    _describe(network, card_of(network).reference, [each.card for each in mine], licence, into, shown=mine[0])


def _name(reference: Reference, network: Any) -> str:
    """How the network is called without its weights: one of timm's by timm's name, a factory without its folder."""
    if reference.name.startswith("timm/"):
        return f"timm/{network.pretrained_cfg['architecture']}"
    if ".py:" in reference.name:
        return Reference(PurePath(reference.name).name, reference.settings).architecture
    return card_of(network).reference


def _describe(
    network: nn.Module,
    name: str,
    cards: Sequence[Mapping],
    licence: str | None,
    folder: Path,
    shown: shipped.Shipped | None = None,
) -> None:
    """Write config.json and README.md.

    Args:
        cards: of trainings of it that come with gelens.
        shown: what is loaded by a name instead of from the folder.
    """
    write_config = _write_timm_config if name.startswith("timm/") else _write_own_config
    write_config(network, name, folder / CONFIG)
    load = str(shown.reference) if shown else f"{name}@FOLDER"
    (folder / README).write_text(_readme(network, name, cards, licence, load), encoding="utf-8")


def _write_own_config(network: nn.Module, name: str, path: Path) -> None:
    config: dict[str, Any] = {"library_name": "gelens", "reference": name}
    if shown := card_of(network).preprocessing.whole():
        config["preprocessing"] = shown.as_dict()
    if classes := list(card_of(network).class_names):
        config |= {"num_classes": len(classes), "label_names": classes}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_timm_config(network: Any, name: str, path: Path) -> None:
    from timm.models._hub import save_config_for_hf
    from timm.models._pretrained import filter_pretrained_cfg

    shown, card = preprocessing_of(network).as_dict(), card_of(network)
    own = filter_pretrained_cfg(network.pretrained_cfg, remove_source=True, remove_null=True)
    del own["architecture"]  # which stands outside
    size = shown.pop("size")
    own |= shown | {"input_size": (3, size, size)}
    classes = {"label_names": list(card.class_names)} if card.class_names else {}
    save_config_for_hf(
        network,
        cast(str, path),  # text to its types alone: older versions take a path
        model_config={"pretrained_cfg": own, **classes},
    )


def _readme(network: nn.Module, name: str, cards: Sequence[Mapping], licence: str | None, load: str) -> str:
    """The model card."""
    library = "timm" if name.startswith("timm/") else "gelens"
    head = ["---", f"library_name: {library}", "pipeline_tag: image-classification"]
    head += [f"license: {json.dumps(licence)}"] if licence else []
    head += ["tags: [image-classification, gelens]"]
    if cards:
        index = [{"name": name, "results": [_result(cards)]}]
        head.append(f"model-index: {json.dumps(index, ensure_ascii=False)}")
    shown = card_of(network).preprocessing.whole() or "how they are shown is not stated"
    lines = [*head, "---", "", f"# {name}", "", f"{count_parameters(network):,} parameters. Images: {shown}.", ""]
    lines += ["```python"]
    if library == "timm":
        lines += ["import timm", "", 'network = timm.create_model("hf-hub:OWNER/NAME", pretrained=True)']
    else:
        lines += ["import gelens", "", f"network = gelens.load_network({load!r})".replace("'", '"')]
    lines += ["```", ""]
    if not cards:
        return "\n".join([*lines, "Accuracy is not stated.", ""])
    lines += ["| seed | top-1 accuracy in % | data | recipe | epochs |", "|---|---|---|---|---|"]
    for card in cards:
        data, epochs = _without_path(card), card["settings"]["epochs"]
        lines.append(f"| {card['seed']} | {card['top1_accuracy']:.2f} | {data} | {card['recipe']} | {epochs} |")
    notes = dict.fromkeys(card["data"].get("note", "") for card in cards)
    lines += ["", *(f"Data: {note}." for note in notes if note), f"Licence: {cards[0]['licence']}.", ""]
    return "\n".join(map(plain, lines))


def _result(cards: Sequence[Mapping]) -> dict[str, Any]:
    """The accuracy of trainings on the same data, as the hub lists it."""
    data = _without_path(cards[0])
    return {
        "task": {"type": "image-classification"},
        "dataset": {"name": data, "type": data},
        "metrics": [
            {"type": "accuracy", "value": card["top1_accuracy"], "name": f"top-1, seed {card['seed']}"}
            for card in cards
        ],
    }


def _without_path(card: Mapping) -> str:
    """What a training's data are called.

    >>> _without_path({"data": {"name": "parquet:cifar10"}})
    'cifar10'
    """
    return PurePath(card["data"]["name"].rpartition(":")[2]).name


if __name__ == "__main__":
    for each in sorted({known.path.parent for known in shipped.everything()}):
        describe(each, each)
