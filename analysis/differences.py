"""In words, in what two things differ."""

from collections.abc import Mapping


def difference(key: str, before: object, now: object, then: str = "was", today: str = "now") -> str:
    """In words, where two JSON values differ first.

    Args:
        then, today: what is said before each of the two.

    >>> difference("networks", {"a": {"hash": 1}}, {"a": {"hash": 2}})
    'networks a hash was 1, now 2'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for inner in dict.fromkeys([*before, *now]):
            if before.get(inner) != now.get(inner):
                return f"{key} {difference(inner, before.get(inner), now.get(inner), then, today)}"
    return f"{key} {then} {str(before)[:80]}, {today} {str(now)[:80]}"


def changes(before: Mapping, now: Mapping) -> str:
    """In words, which values are others.

    >>> changes({"size": 32, "std": 1}, {"size": 64, "std": 1})
    'size was 32, now 64'
    """
    return ", ".join(f"{name} was {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name])


def image_differences(before: Mapping, now: Mapping) -> str:
    """In words, how the images of two `ImageData.parts` differ.

    >>> image_differences({"images": 3, "names": "a", "labels": "b"}, {"images": 3, "names": "a", "labels": "c"})
    'the same number of images (3), but other labels'
    """
    if before.get("images") != now.get("images"):
        return f"{before.get('images')} images, now {now.get('images')}"
    others = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return f"the same number of images ({now.get('images')}), but other {' and '.join(others)}"
