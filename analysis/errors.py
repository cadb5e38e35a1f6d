"""The two kinds of failure that a person may see, each one clear line, and the end that another process asks for."""

import signal
import unicodedata


class UsageError(ValueError):
    """What was asked for cannot be meant: a wrong name, value or combination (exit code 2)."""


class RunError(RuntimeError):
    """What was asked for is meaningful but did not work: data, files, memory (exit code 1)."""


def plain(text: object) -> str:
    r"""Text that is safe to print, to keep in a table and to draw: whatever is no printable character is spelled out.

    Names in files of strangers may hold escapes that a terminal obeys, new lines that forge a message, marks that
    reverse what follows, and halves of characters that no file can hold.

    >>> plain("a\x1b[31mb\nc"), plain("größe 名前 θ⁺"), plain("\udcff")
    ('a\\x1b[31mb\\nc', 'größe 名前 θ⁺', '\\udcff')
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if _is_plain(each) else each.encode("unicode_escape").decode() for each in text)


def _is_plain(character: str) -> bool:
    # a soft hyphen, joiners and spaces of all widths (Cf, Zs) are no printable characters to Python, but harmless
    return character.isprintable() or unicodedata.category(character) == "Zs" or character in "\u00ad\u200b\u200c\u200d"


class Terminated(SystemExit):
    """SIGTERM came: what was done is kept, and the exit code is the one that shells know it by."""

    def __init__(self):
        super().__init__(128 + signal.SIGTERM)


def need(package: str, extra: str) -> None:
    """Say so where a package is missing that only some commands need.

    Args:
        package: as it is imported.
        extra: of `pip install 'gelens[EXTRA]'`.

    Raises:
        UsageError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UsageError(f"the package `{package}` is not installed: pip install 'gelens[{extra}]'")


def unknown(kind: str, value: object, valid, limit: int = 12) -> UsageError:
    """The error for a name that is not among `valid`: names the value and the nearest choices.

    >>> unknown("network", "resnet5", ["resnet50", "shufflenet"])
    UsageError('no network `resnet5`; did you mean `resnet50`? Valid: resnet50, shufflenet')
    """
    import difflib

    valid = [str(choice) for choice in valid]
    near = difflib.get_close_matches(str(value), valid, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else "."
    listed = ", ".join(valid[:limit]) + (f", … ({len(valid)} in all)" if len(valid) > limit else "")
    return UsageError(f"no {kind} `{value}`{hint} Valid: {listed or 'none'}")
