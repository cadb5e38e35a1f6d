"""What was run, in words: from `run.json` alone."""

from collections.abc import Iterator, Mapping, Sequence

from ..tables.evaluation import accuracy_interval
from .sources import Source, without_folders


def facts_of(source: Source) -> list[tuple[str, str]]:
    """What was run, on what, when it took how long: names and values."""
    record = source.run.record
    data = record.get("data", {})
    name = without_folders(data.get("name") or "")
    computed = [str(record[key]) for key in ("device", "precision") if record.get(key)]
    found = {
        "Command": f"gelens {record['command']}",
        "Data": ": ".join(filter(None, (name, data.get("note")))),
        "Images": _images(data),
        "Images' fingerprint": data.get("fingerprint"),
        "Device": ", ".join(computed),
        "Seed": record.get("seed"),
        "Seconds": ", ".join(f"{step} {seconds:.4g}" for step, seconds in record["timings"].items()),
    }
    return [(name, str(value)) for name, value in found.items() if value not in (None, "")]


MOST_NAMED = 4
"""Networks that a page's head names."""


def about(sources: Sequence[Source]) -> str:
    """The networks and the images of runs, in a line."""
    names = list(dict.fromkeys(name for source in sources for name in source.shown.values()))
    more = [f"{len(names) - MOST_NAMED} more networks"] if len(names) > MOST_NAMED else []
    data = [source.run.record.get("data", {}) for source in sources]
    images = dict.fromkeys(
        f"{without_folders(each.get('name') or 'images')}, {each.get('read', each.get('images', '?'))} images"
        for each in data
    )
    return f"{', '.join(names[:MOST_NAMED] + more)} · {'; '.join(images)}"


def _images(data: Mapping) -> str:
    count = data.get("read", data.get("images"))
    said = [] if count is None else [str(count)]
    if isinstance(data.get("classes"), list):
        said.append(f"{len(data['classes'])} classes")
    if data.get("skipped"):
        said.append(f"{len(data['skipped'])} left out as unreadable")
    return ", ".join(said)


def networks_of(source: Source) -> list[dict[str, str]]:
    """Of every network: its name, reference, hash of weights, seed, and how it is shown the images."""
    rows = []
    for label, card in source.run.record["networks"].items():
        shown = card.get("preprocessing") or {}
        preprocessing = [f"{name} {_said(value)}" for name, value in shown.items()]
        rows.append(
            {
                "Network": source.shown[label],
                "Label": label,
                "Reference": without_folders(str(card.get("reference") or "")),
                "Hash of weights": str(card.get("weights_hash") or ""),
                "Training seed": str(card.get("training_seed") or ""),
                "Preprocessing": ", ".join(preprocessing),
            }
        )
    return rows


def settings_of(source: Source) -> list[tuple[str, str]]:
    """What the results depend on, and the versions of what computed them."""
    record = source.run.record
    settings = [(name, without_folders(value)) for name, value in _flat(record["arguments"])]
    return settings + [(f"version of {name}", str(version)) for name, version in record["versions"].items()]


def _flat(values: Mapping, before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{without_folders(str(name))} ")
        elif value not in (None, [], ""):
            yield f"{before}{without_folders(str(name))}", _said(value)


def _said(value: object) -> str:
    return " ".join(without_folders(str(each)) for each in value) if isinstance(value, list) else str(value)


def findings_of(source: Source) -> list[str]:
    """What the run found, in the words that it stored, then each network's accuracy."""
    said = []
    if source.run.has("evaluation.csv"):
        for row in source.run.table("evaluation.csv").dropna(subset="top1_error").to_dict("records"):
            name = source.shown.get(row["network"], row["network"])
            low, high = accuracy_interval(row["top1_error"], row["images"])
            accuracy = f"{100 - row['top1_error']:.2f} % (95 % {low:.1f} … {high:.1f})"
            said.append(f"{name}: top-1 accuracy {accuracy} on {row['images']:g} images.")
    return [*source.run.record.get("findings", ()), *said]
