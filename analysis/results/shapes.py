"""What a run's record and tables must hold, whoever wrote them: asked once, when they are read."""

from ..untrusted import Fields, Listed, Named, Whose

_TEXT, _COUNT, _NUMBER = (str, None), (int, None), (float, None)
FACTS = {
    "extent": _TEXT,
    "pool": _TEXT,
    "parameters": _COUNT,
    "gmacs": _NUMBER,
    "published_top1_error": _NUMBER,
    "published_top5_error": _NUMBER,
    "published_gmacs": _NUMBER,
}
"""Of a network, beside its errors in a table."""


def _is_in_its_group(card: dict) -> bool:
    seed = str(card.get("training_seed"))
    return card.get("group") is None or (seed.isascii() and seed.removeprefix("-").isdecimal())


_FIELDS = Fields(
    {},
    {
        "reference": _TEXT,
        "weights_hash": _TEXT,
        "preprocessing": (dict, None),
        "layout": _TEXT,
        "notes": Listed(str),
        "training_seed": (int, Whose(str, lambda seed: len(seed) < 100, "a seed"), None),
        "resnet_stages": bool,
        "group": _TEXT,
        "facts": Fields({}, FACTS),
    },
)
CARD = Whose(_FIELDS, _is_in_its_group, "a whole training_seed for a training of a group")
RECORD = Fields(
    {"command": str, "arguments": Fields({}, {"replicates": _COUNT, "reference": _TEXT, "tap": str}), "finished": bool},
    {
        "versions": dict,
        "networks": Named(CARD),
        "timings": Named(float),
        "data": Fields(
            {},
            {
                "name": _TEXT,
                "note": _TEXT,
                "images": _COUNT,
                "read": _COUNT,
                "fingerprint": _TEXT,
                "contents": _TEXT,
                "parts": (Named((str, int)), None),
                "skipped": (dict, None),
            },
        ),
        "reference": _TEXT,
        "replicates": _COUNT,
        "roles": (Named(Listed(str)), None),
        "findings": Listed(str),
        "format": int,
        "made": Listed(dict),
        "files": Named(str),
        "seal": str,
        "seed": _COUNT,
    },
)
"""Of `run.json`."""
