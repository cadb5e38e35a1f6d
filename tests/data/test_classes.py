"""Names of classes as they come: numbers, ImageNet's names, another order than a network's, two of one name."""

import io
import logging

import numpy as np
import pytest
from datasets import ClassLabel
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.models._meta import _IMAGENET_CATEGORIES

from gelens.data import imagenet, load_data
from gelens.data.cached import write_cache
from gelens.data.classes import class_numbers
from gelens.data.datasets import ImageData
from gelens.errors import UsageError
from gelens.networks import load_network
from gelens.subjects import fit_classes
from tests.data.test_forms import GEOMETRY, picture, write, write_tar


def content(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "JPEG")
    return buffer.getvalue()


def classes_in(form: str, path, names) -> str:
    """A reference to one image of each class."""
    files = {f"{name}/of {name}.jpg": content() for name in names}
    return f"tar:{write_tar(path.with_suffix('.tar'), files)}" if form == "tar" else f"{form}:{write(path, files)}"


def network_of(outputs: int, class_names=()):
    network = load_network(f"mini_resnet:classes={outputs}")
    network.class_names = tuple(class_names)
    return network


def labels_of(data) -> dict[str, int]:
    """By the name that is in the file's."""
    names = (name.rpartition("of ")[2].removesuffix(".jpg") for name in data.identifiers)
    return dict(zip(names, data.labels.tolist(), strict=True))


@pytest.mark.parametrize("form", ["folder", "imagenet", "tar"])
def test_names_that_are_numbers_are_labels(tmp_path, form, caplog):
    """ImageNetV2's folders are called 0 … 999; alphabetically 10 comes before 2."""
    caplog.set_level(logging.INFO, "gelens")
    data = load_data(classes_in(form, tmp_path / "v2", map(str, range(12))))
    assert labels_of(data) == {str(label): label for label in range(12)}
    assert "number" in caplog.text
    assert labels_of(fit_classes([network_of(1000)], data)) == labels_of(data)


def test_numbers_of_one_width_are_ordered_as_by_torchvision(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gelens")
    root = write(tmp_path, {f"{label:03}/a.jpg": content() for label in range(1, 12)})
    data, theirs = load_data(f"folder:{root}"), ImageFolder(root)
    assert data.classes == theirs.classes and data.labels.tolist() == theirs.targets and not caplog.text


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_numbers_with_gaps_are_labels_where_there_are_so_many_outputs(tmp_path, form):
    data = load_data(classes_in(form, tmp_path / "some", ["0", "217", "1000"]))
    assert data.classes == ["0", "217", "1000"]
    assert labels_of(fit_classes([network_of(1001)], data)) == {"0": 0, "217": 217, "1000": 1000}
    for outputs in (3, 5, 1000):  # torchvision's order and that of the numbers differ
        with pytest.raises(UsageError, match=rf"called 0 … 1000, .* {outputs} outputs.*the number of its output"):
            fit_classes([network_of(outputs)], data)
    known = network_of(3, ["1000", "217", "0"])
    assert labels_of(fit_classes([known], data)) == {"0": 2, "217": 1, "1000": 0}


def test_numbers_with_gaps_in_the_one_order_that_there_is(tmp_path):
    data = load_data(classes_in("folder", tmp_path / "some", ["2", "5", "7"]))
    assert fit_classes([network_of(3)], data) is data and data.labels.tolist() == [0, 1, 2]
    assert fit_classes([network_of(8)], data).labels.tolist() == [2, 5, 7]


def test_two_names_of_one_number(tmp_path):
    with pytest.raises(UsageError, match="`01` and `1` are the same number"):
        load_data(classes_in("folder", tmp_path / "some", ["1", "01", "2"]))
    assert class_numbers(["1", "x", "01"])[0] == ["01", "1", "x"]
    assert class_numbers(["9" * 5000, "1"])[0] == ["1", "9" * 5000]


@pytest.mark.parametrize("form", ["folder", "imagenet", "tar"])
def test_imagenets_names(tmp_path, form):
    names = {"tench": 0, "Great_White_Shark": 2, "goldfish, Carassius auratus": 1, "n02085620-Chihuahua": 151}
    names |= {"crane bird": 134, "crane": 517, "jack-o-lantern": 607, "ox": 345}
    data = load_data(classes_in(form, tmp_path / "names", names))
    assert labels_of(fit_classes([network_of(1000)], data)) == names
    if form != "imagenet":
        assert fit_classes([network_of(8)], data) is data


def test_imagenets_names_for_a_network_that_knows_all_of_them(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "gelens")
    names = {"Tench": 0, "n03126707": 517, "crane": 134}
    data = load_data(classes_in("folder", tmp_path / "names", names))
    for known in (imagenet.class_names(), imagenet.synsets()):
        assert labels_of(fit_classes([network_of(1000, known)], data)) == names
    assert not caplog.text


@pytest.mark.parametrize("form", ["folder", "imagenet", "tar"])
@pytest.mark.parametrize(
    "names, message",
    [
        (["tench", "crane"], "`crane` of .* is the name of 2 classes of ImageNet: say n02012849, n03126707"),
        (["tench", "maillot"], "`maillot` of .* is the name of 2 classes"),
        (["tench", "zebu", "goldfish"], "1 of the 3 classes of .* such as `zebu`"),
        (["tench", "Tinca_tinca"], "`Tinca_tinca` and `tench` of .* are the same class of ImageNet, n01440764"),
    ],
)
def test_imagenets_names_that_leave_a_doubt(tmp_path, form, names, message):
    with pytest.raises(UsageError, match=message):
        fit_classes([network_of(1000)], load_data(classes_in(form, tmp_path / "names", names)))


def test_numbers_beyond_imagenets(tmp_path):
    with pytest.raises(UsageError, match=r"numbers up to 1000; expected 0 … 999"):
        load_data(classes_in("imagenet", tmp_path / "devkit", ["1", "1000"]))


def test_every_name_of_timms_and_torchvisions_lists_is_its_label():
    """All 1000 at once, and each alone unless it is another's as well."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    full = [info.index_to_description(label) for label in range(1000)]
    shared = {"crane", "maillot", "cardigan"}
    for listed in (_IMAGENET_CATEGORIES, imagenet.class_names(), imagenet.synsets()):
        assert [each == {label} for label, each in enumerate(imagenet.candidates(listed))].count(False) == 0
    for listed in (_IMAGENET_CATEGORIES, full):
        for label, name in enumerate(listed):
            found = imagenet.candidates([name])[0]
            assert found == {label} or (name.lower() in shared and label in found), name
    assert imagenet.labels_by_name(_IMAGENET_CATEGORIES[::-1], "x").tolist() == list(range(1000))[::-1]


def test_a_network_that_knows_its_classes_is_asked_by_their_names(tmp_path, caplog):
    """The same in another order, and some of them, whichever form they are in."""
    caplog.set_level(logging.INFO, "gelens")
    data = load_data(classes_in("folder", tmp_path / "animals", ["cat", "dog", "wren"]))
    one, other = network_of(4, ["wren", "dog", "eel", "cat"]), network_of(3, ["cat", "dog", "wren"])
    fitted = fit_classes([one, one], data)
    assert labels_of(fitted) == {"cat": 3, "dog": 1, "wren": 0} and fitted.classes == list(one.class_names)
    assert "by name, as those of mini_resnet:classes=4" in caplog.text and "means nothing" not in caplog.text
    assert np.array_equal(np.asarray(fitted[0][0]), np.asarray(data[0][0]))
    assert fit_classes([other], data) is data
    with pytest.raises(UsageError, match=r"networks of 3, 4 outputs: .*measure them apart"):
        fit_classes([one, other], data)
    fit_classes([network_of(3, ["cat", "dog", "eel"])], data)
    assert "trained on the classes cat, dog, eel, but these images are of cat, dog, wren" in caplog.text


def test_some_of_the_synsets_that_a_network_was_trained_on(tmp_path, caplog):
    """Labels are the network's, and not those of the folder alone; class names may be given as synsets."""
    caplog.set_level(logging.WARNING, "gelens")
    synsets = ["n01440764", "n02979186", "n03888257"]
    data = load_data(classes_in("folder", tmp_path / "one", synsets[2:]))
    for names in (synsets, imagenet.recognised(synsets)[0]):
        assert fit_classes([network_of(3, names)], data).labels.tolist() == [2]
    assert not caplog.text
    fit_classes([network_of(3, synsets[:2])], data)
    assert "trained on the classes tench, cassette player, but these images are of parachute" in caplog.text


def test_a_cache_of_folders_is_asked_as_they_are(tmp_path):
    data = load_data(classes_in("folder", tmp_path / "some", ["1", "2", "10"]))
    write_cache(data, GEOMETRY, tmp_path / "a.cache", progress=False)
    cached = load_data(f"cache:{tmp_path}/a.cache")
    assert fit_classes([network_of(11)], cached).labels.tolist() == fit_classes([network_of(11)], data).labels.tolist()
    with pytest.raises(UsageError, match=r"called 1 … 10, and .* 3 outputs"):
        fit_classes([network_of(3)], cached)


def test_classes_whose_labels_a_source_has_said_keep_them():
    """Of cifar100's classes some have names of ImageNet's; a list that counts from 1 has said which is whose."""
    for names in (["orange", "lion", "baby"], ["1", "2", "10"]):
        data = ImageData("hf:cifar100", "", names, [0, 1, 2], ["a", "b", "c"], None)
        assert fit_classes([network_of(1000), network_of(3)], data) is data
    data = ImageData("hf:fruits", "", ["orange", "lion", "baby"], [0, 1, 2], ["a", "b", "c"], None, by_name=True)
    with pytest.raises(UsageError, match="such as `baby`"):
        fit_classes([network_of(1000)], data)
    data = ImageData("hf:imagenette", "", ["tench", "parachute"], [0, 1], ["a", "b"], None)
    assert fit_classes([network_of(1000)], data).labels.tolist() == [0, 701]


def test_two_classes_of_one_name_stay_two():
    with pytest.raises(ValueError, match="duplicated"):
        ClassLabel(names=["crane", "crane"])  # so that no table of Hugging Face's has any
    data = ImageData("any", "", ["crane", "tench", "crane"], [0, 1, 2], ["a", "b", "c"], None)
    assert data.classes == ["crane (0)", "tench", "crane (2)"]
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    firsts = [info.index_to_description(label).split(",")[0] for label in range(1000)]
    data = ImageData("any", "", firsts, [0], ["a"], None)
    assert len(set(data.classes)) == 1000 and data.classes[517] == "crane (n03126707)"
    assert imagenet.recognised(data.classes) == (data.classes, data.synsets), "as a cache of them has them"


def test_two_classes_of_one_name_of_ones_own_data():
    from gelens.data import adapted

    class Own(list):
        classes = ("crane", "crane")

    own = Own([(Image.new("RGB", (8, 8)), 0)])
    assert adapted(own).classes == ("crane (0)", "crane (1)")


def test_ones_own_data_with_other_labels_than_the_network_is_refused(caplog):
    caplog.set_level(logging.WARNING, "gelens")

    class Own(list):
        classes = ("dog", "cat")

    own = Own([(Image.new("RGB", (8, 8)), 0)])
    with pytest.raises(UsageError, match=r"the classes cat, dog, and these images have other labels.* dog, cat"):
        fit_classes([network_of(2, ["cat", "dog"])], own)
    assert fit_classes([network_of(2, ["dog", "cat"]), network_of(1000)], own) is own and not caplog.text
    fit_classes([network_of(2, ["dog", "eel"])], own)
    assert "means nothing" in caplog.text
