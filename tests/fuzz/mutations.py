"""Damage to files, drawn from a seeded generator: bits, lengths, numbers in heads, values of JSON, cells of tables."""

import csv
import io
import json
from random import Random

NUMBERS = (0, 1, -1, 2, 7, 255, 40_000, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30)
NAMES = ("", " ", ".", "..", "../../x", "/etc/passwd", "a/b", "nul\0", "\x1b]52;c;aGk=\x07", "\x1b[2J", "a\nError: b")
NAMES += (
    "$\\frac{",
    "\u202e",
    "\udcff",
    "\U0001f9ff" * 80,
    "x" * 3000,
    "nan",
    "NaN",
    "1e400",
    "-0",
    "{}",
    "%s%n",
    "=1+1",
)
NAMES += ("layer3.0", "output", "name:key=value", "a=b=c", "@", "#", "C:\\x", "con", "‮gnp", "http://localhost:9/x")
VALUES = (None, True, False, [], {}, [[]], [None], {"": None}, 0.5, -0.0, 1e308, *NUMBERS, *NAMES)


def damaged_bytes(content: bytes, rng: Random, others: list[bytes]) -> bytes:
    """One or several kinds of damage that any file may have."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        content = bytearray(rng.choice(_DAMAGES)(content, rng, others))
    return bytes(content)


def _flipped(content, rng, others):
    for _ in range(rng.choice((1, 1, 3, 30))):
        if content:
            content[_place(content, rng)] ^= 1 << rng.randrange(8)
    return content


def _place(content, rng: Random) -> int:
    """Heads and ends are where lies are told."""
    span = rng.choice((16, 64, 512, len(content)))
    place = rng.randrange(min(span, len(content)))
    return place if rng.random() < 0.8 else len(content) - 1 - place


def _cut(content, rng, others):
    return content[: rng.randrange(len(content) + 1)]


def _longer(content, rng, others):
    return content + rng.randbytes(rng.choice((1, 100, 5000)))


def _spliced(content, rng, others):
    other = rng.choice(others)
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def _without_part(content, rng, others):
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice((1, 4, 100)) :]


def _zeroed(content, rng, others):
    start = rng.randrange(len(content) + 1)
    length = min(rng.choice((4, 64, 1000)), len(content) - start)
    content[start : start + length] = bytes(length)
    return content


def _number(content, rng, others):
    """A number of a head, of any width and order of bytes."""
    if not content:
        return content
    width, start = rng.choice((1, 2, 4, 8)), _place(content, rng)
    value = rng.choice(NUMBERS) % 2 ** (8 * width)
    content[start : start + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return content


def _digits(content, rng, others):
    """A number in text, as heads of tars and of arrays have it."""
    places = [place for place, byte in enumerate(content[:100_000]) if 48 <= byte <= 57]
    if places:
        start = rng.choice(places)
        stop = start
        while stop < len(content) and 48 <= content[stop] <= 57:
            stop += 1
        new = rng.choice((b"0", b"7" * (stop - start), b"9" * (stop - start), b"-1", b"1e400", b"9" * 30))
        content[start:stop] = new if rng.random() < 0.3 else new[: stop - start].ljust(stop - start, b"7")
    return content


_DAMAGES = (_flipped, _flipped, _cut, _longer, _spliced, _without_part, _zeroed, _number, _number, _digits)


def damaged_json(text: str, rng: Random) -> str:
    """Values of other types, keys gone or new, nests too deep, numbers too large."""
    whole = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, key = rng.choice(list(_places(whole)))
        what = rng.random()
        if what < 0.25 and isinstance(at, dict):
            del at[key]
        elif what < 0.35 and isinstance(at, dict):
            at[rng.choice(NAMES)] = at[key]
        elif what < 0.45:
            at[key] = [at[key]] * rng.choice((0, 1, 2, 50))
        else:
            at[key] = rng.choice(VALUES)
        if not list(_places(whole)):
            break
    made = json.dumps(whole, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        start = rng.randrange(len(made))
        made = (
            made[:start]
            + rng.choice(("[" * 100_000, '{"a":' * 100_000, "1e400", "NaN", "\0", "9" * 5000))
            + made[start:]
        )
    if rng.random() < 0.05:
        made = rng.choice(("", "null", "[]", "{}", "7", '"x"', "[" * 100_000, '{"a":' * 50_000))
    return made


def _places(value):
    """Every (container, key) of a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def damaged_table(text: str, rng: Random) -> bytes:
    """Cells, columns and rows of other kinds, or gone."""
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(rng.choice((1, 1, 2, 6))):
        row = rng.randrange(len(rows))
        column = rng.randrange(max(len(rows[row]), 1))
        what = rng.random()
        if what < 0.5 and rows[row]:
            rows[row][column % len(rows[row])] = str(rng.choice(VALUES))
        elif what < 0.6:
            rows[row] = rows[row][:column]
        elif what < 0.7:
            rows[row] = [*rows[row], "more"]
        elif what < 0.85:
            rows = [each[:column] + each[column + 1 :] for each in rows]
        elif what < 0.92:
            rows = rows[: max(row, 1)]
        else:
            rows = [*rows, rows[row]]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    content = buffer.getvalue().encode("utf-8", "surrogatepass")
    return damaged_bytes(content, rng, [content]) if rng.random() < 0.15 else content
