"""Hierarchies from files: a csv, and WordNet's is_a list."""

import numpy as np
import pytest

from gelens.errors import UsageError
from gelens.tables.levels import numbered_levels, read_levels, wordnet_levels

IS_A = """entity animal
entity thing
animal dog
animal cat
dog poodle
pet poodle
dog beagle
thing cup
"""


@pytest.fixture
def is_a(tmp_path):
    (tmp_path / "is_a.txt").write_text(IS_A)
    return tmp_path / "is_a.txt"


def test_wordnet_gives_ancestors_at_each_depth_and_the_first_parent(is_a):
    levels = wordnet_levels(is_a, {"a poodle": "poodle", "a beagle": "beagle", "a cat": "cat", "a cup": "cup"})
    assert list(levels) == ["depth 3", "depth 2", "depth 1"]
    assert levels["depth 3"] == {"a poodle": "poodle", "a beagle": "beagle", "a cat": "cat", "a cup": "cup"}
    assert levels["depth 2"] == {"a poodle": "dog", "a beagle": "dog", "a cat": "cat", "a cup": "cup"}
    assert levels["depth 1"] == {"a poodle": "animal", "a beagle": "animal", "a cat": "animal", "a cup": "thing"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c\n", "line 1 has 3 words"),
        ("entity cat\n", "has no parent of 1 classes, such as `dog`"),
        ("dog puppy\npuppy dog\n", "has `dog` among its own ancestors"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "is_a.txt").write_text(text)
    with pytest.raises(UsageError, match=message):
        wordnet_levels(tmp_path / "is_a.txt", {"dog": "dog"})
    with pytest.raises(UsageError, match="cannot be read"):
        wordnet_levels(tmp_path / "absent", {"dog": "dog"})


def test_a_csv_of_levels(tmp_path):
    (tmp_path / "g.csv").write_text("class,family,kingdom\nnan,1,x\nb,1,x\nc,2,x\n")
    levels = read_levels(tmp_path / "g.csv")
    assert levels == {"family": {"nan": "1", "b": "1", "c": "2"}, "kingdom": dict.fromkeys(("nan", "b", "c"), "x")}
    numbered = numbered_levels(levels, ["nan", "b", "c", "d"], np.array([0, 1, 2]))
    assert {name: each.tolist() for name, each in numbered.items()} == {"family": [0, 0, 1, -1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class\na\n", "has columns class; expected class, and one for each level"),
        ("name,family\na,b\n", "has columns name, family"),
        ("class,family\na,b\na,c\n", "has the class `a` twice"),
        ("class,family\na,\n", "has no family of the class `a`"),
        ("", "cannot be read as groups"),
    ],
)
def test_other_csvs_are_refused(tmp_path, text, message):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_levels(tmp_path / "g.csv")


def test_levels_must_group_the_classes():
    with pytest.raises(UsageError, match="2 classes are in no group of level family: b, c"):
        numbered_levels({"family": {"a": "x"}}, ["a", "b", "c"], np.arange(3))
    for groups in ({"a": "x", "b": "x"}, {"a": "x", "b": "y"}):
        with pytest.raises(UsageError, match="no level has several classes"):
            numbered_levels({"family": groups}, ["a", "b"], np.arange(2))
