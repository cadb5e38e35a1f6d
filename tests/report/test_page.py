"""The report is one file: all that a run's folder says, nothing fetched, no stranger's name taken for markup."""

import base64
import hashlib
import json
import logging
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import cli
from gelens.errors import UsageError
from gelens.figures import draw
from gelens.recording.given import recording_from
from gelens.report import page as pages
from gelens.report import write_report
from gelens.report.examples import pictures_of_units, profiles_of
from gelens.report.pictures import Picture, accessible
from gelens.report.sources import open_sources
from gelens.report.units import curves_of, units_of
from tests.figures import making
from tests.report.pages import BLOCKS, HOSTILE, NETWORKS, Page, add_examples, unpacked, write_run


@pytest.fixture(autouse=True)
def closed():
    yield
    making.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "whole", whole=True)


@pytest.fixture(scope="module")
def page(run) -> Page:
    return Page(write_report([run]).read_text())


def test_it_says_what_was_run_and_found(page):
    for said in (
        *("gelens evaluate", "digits#val", "539", "measure 12.5", "0123456789abcdef", "version of torch", "2.14.1"),
        *(
            "mini ResNet SE",
            "mini_resnet@w.safetensors",
            "one is more selective",
            "top-1 accuracy 76.54 % (95 % 67.8 … 84.2) on 100 images",
        ),
    ):
        assert said in page.text, said
    assert "/home/someone" not in page.text


def test_it_has_every_figure_that_the_tables_allow(run, page):
    names = {each["data-name"] for each in page.of("button") if each.get("class") == "picture"}
    assert names == {f"{name}.svg" for name in making.drawn(run)}
    for svg in page.of("svg"):
        assert svg["role"] == "img" and svg["aria-labelledby"] and svg["aria-describedby"]
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_every_table_can_be_taken_out_as_it_is(run, page):
    tables = {path.name: path.read_text() for path in run.glob("*.csv")}
    assert {name: unpacked(packed) for name, packed in page.packed.items()} == tables


def test_nothing_is_fetched(page):
    """No address but places in the page, and a policy that allows the page's own scripts and nothing else."""
    addresses = [
        value
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data") and tag != "meta"
    ]
    assert addresses and all(each.startswith(("#", "data:image/png;base64,")) for each in addresses)
    assert not page.of("link") and not page.of("iframe") and not page.of("base")
    (policy,) = [each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    rights = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    assert rights["default-src"] == "'none'" and "connect-src" not in rights
    kinds = [each.get("type") for each in page.of("script")]
    run = [text for kind, text in zip(kinds, page.scripts, strict=True) if kind is None]
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in run}
    assert set(rights["script-src"].split()) == hashes


def test_names_are_no_markup(tmp_path):
    """Of networks, classes, data and findings."""
    data = {"name": HOSTILE[0], "note": HOSTILE[1]}
    run = write_run(tmp_path / "run", HOSTILE, findings=list(HOSTILE), data=data)
    units = pd.read_csv(run / "selectivity.csv")
    units.assign(top_class_name=HOSTILE[1]).to_csv(run / "selectivity.csv", index=False)
    page = Page(write_report([run]).read_text())
    assert not page.of("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert len(page.scripts) == 5, "what is packed, Bokeh's three, and the page's own"
    for each in HOSTILE:
        assert each in page.text


def test_units_of_all_tables_are_joined(run):
    units = units_of(open_sources([run]))
    table = pd.read_csv(run / "selectivity.csv")
    assert len(units) == len(table) and list(units["network"].unique()) == ["mini ResNet", "mini ResNet SE"]
    assert list(units["block"].unique()) == ["conv4-1", "conv4-2"]
    for name in ("csi", "csi_null", "csi_crossfit"):
        pd.testing.assert_series_equal(units[name], table[name])
    indices = pd.read_csv(run / "selectivity_indices.csv")
    pd.testing.assert_series_equal(units["index_auc"], indices["value"], check_names=False)
    images = units.groupby("block")["images"].unique()
    assert [list(each) for each in images] == [[""], ["0001, 0002, 0003"]]


def test_curves_are_those_of_the_table(run):
    curves = curves_of(open_sources([run]))
    table = pd.read_csv(run / "pruning.csv", keep_default_na=False)
    asked = {"network": "mini ResNet SE", "block": "conv4-1", "score": "gate", "order": "most"}
    (one,) = [each for each in curves if asked.items() <= each.items()]
    mine = table[(table["network"] == NETWORKS[1]) & (table["block"] == BLOCKS[0])]
    curve = (mine["score"] == "gate") & (mine["order"] == "most")
    mine = mine[curve | (mine["order"] == "none")].sort_values("ratio")
    assert one["ratio"] == mine["ratio"].tolist() and one["top1"] == mine["top1"].round(6).tolist()
    assert {each["order"] for each in curves if each["network"] == "mini ResNet"} == {"none"}


def test_several_runs_are_told_apart(tmp_path):
    folders = [write_run(tmp_path / place / "run", NETWORKS) for place in ("one", "two")]  # both measured the same
    sources = open_sources(folders)
    assert [source.name for source in sources] == ["run", "run-2"]
    assert list(sources[1].shown.values()) == ["mini ResNet (run-2)", "mini ResNet SE (run-2)"]
    out = write_report(folders, tmp_path / "both.html")
    page = Page(out.read_text())
    assert out == tmp_path / "both.html" and not (folders[0] / "report.html").exists()
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert [each["value"] for each in page.of("input") if each.get("class") == "network"] == [
        *("mini ResNet", "mini ResNet SE", "mini ResNet (run-2)", "mini ResNet SE (run-2)")
    ]


def test_a_network_is_one_in_runs_that_measured_different_things_of_it(tmp_path):
    units = write_run(tmp_path / "units")
    (units / "pruning.csv").unlink()
    curves = write_run(tmp_path / "curves")
    (curves / "selectivity.csv").unlink()
    sources = open_sources([units, curves])
    assert sources[1].shown == sources[0].shown
    assert {each["network"] for each in curves_of(sources)} == set(units_of(sources)["network"])
    record = json.loads((curves / "run.json").read_text())
    record["networks"][NETWORKS[0]]["weights_hash"] = "another"
    (curves / "run.json").write_text(json.dumps(record))
    assert open_sources([units, curves])[1].shown[NETWORKS[0]] == "mini ResNet (curves)"


def test_no_filter_is_offered_for_what_has_no_units(tmp_path):
    run = write_run(tmp_path / "run")
    units = pd.read_csv(run / "selectivity.csv")
    units[units["network"] == NETWORKS[1]].assign(csi_crossfit=None).to_csv(run / "selectivity.csv", index=False)
    page = Page(write_report([run]).read_text())
    assert [each["value"] for each in page.of("input") if each.get("class") == "network"] == ["mini ResNet SE"]
    assert len([each for each in page.of("input") if each.get("class") == "curved"]) == 2
    assert "csi_crossfit" not in [each.get("value") for each in page.of("option")]
    assert "No pictures of images" in page.text and "No class profiles" in page.text


def test_figures_that_were_just_drawn_are_taken_as_they_are(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    drawn = draw(run, ["svg"])
    afresh = Page(write_report([run], tmp_path / "afresh.html").read_text())
    monkeypatch.setattr("gelens.report.pictures.drawn_of", None)
    taken = Page(write_report([run], tmp_path / "taken.html", drawn).read_text())
    assert taken.text == afresh.text and len(taken.of("svg")) == len(drawn)
    for tag in ("path", "use", "text", "button"):
        assert taken.of(tag) == afresh.of(tag)


def test_profiles_are_of_the_recording_where_there_is_one(tmp_path):
    run = write_run(tmp_path / "run")
    units = units_of(open_sources([run]))
    count = int((units["block"] == "conv4-1").sum() / 2)
    activity = np.arange(4 * count, dtype=np.float32).reshape(4, count)
    recording_from({BLOCKS[0]: activity}, [0, 1, 0, 1], folder=run / "recording", network=NETWORKS[0])
    profiles = profiles_of(open_sources([run]), units)
    (at,) = units.index[(units["network"] == "mini ResNet") & (units["block"] == "conv4-1") & (units["unit"] == 2)]
    means = [(profiles["classes"][number], value) for number, value in profiles["of"][at]]
    low, high = activity[[0, 2], 2].mean(), activity[[1, 3], 2].mean()
    assert [value for _, value in means] == pytest.approx([high, low], rel=0.005)
    assert not profiles["of"][-1], "nothing was recorded of it"


def test_what_is_no_picture_is_left_out(tmp_path, caplog):
    run = add_examples(write_run(tmp_path / "run"))
    np.savez(run / "selectivity_pictures.npz", identifiers=["1"], images=np.zeros((1, 48, 48)))
    sources = open_sources([run])
    with caplog.at_level(logging.WARNING, "gelens"):
        assert pictures_of_units(sources, units_of(sources)) == {}
    assert "no pictures of images" in caplog.text


def test_pictures_take_no_more_room_than_they_have(tmp_path, monkeypatch):
    run = add_examples(write_run(tmp_path / "run"))
    noise = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), np.uint8)
    np.savez(run / "selectivity_pictures.npz", identifiers=["1", "2", "3", "grey"], images=noise)
    monkeypatch.setattr("gelens.report.examples.MOST_OF_PICTURES", 7000)
    sources = open_sources([run])
    pictures = pictures_of_units(sources, units_of(sources))
    assert len(pictures["sheets"][0]) <= 7000 and 1 <= max(map(len, pictures["of"])) < 3


def test_a_run_without_units_or_curves(tmp_path):
    run = making.write_run(tmp_path / "run", training=making.training_table(NETWORKS, 3))
    page = Page(write_report([run]).read_text())
    assert "stored no findings" in page.text and len(page.of("svg")) == 1
    assert len(page.scripts) == 2, "no Bokeh where there is nothing to show with it"


def test_what_cannot_be_meant_is_refused(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(UsageError, match="named twice"):
        write_report([run, run])
    with pytest.raises(UsageError, match="is a folder"):
        write_report([run], tmp_path)
    with pytest.raises(UsageError, match="no run"):
        write_report([tmp_path / "nothing"])
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"finished": False}))
    with pytest.raises(UsageError, match="--resume"):
        write_report([run])


def test_what_is_too_large_is_left_out_and_named(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    monkeypatch.setattr(pages, "MOST_OF_TABLES", 500)
    monkeypatch.setattr(pages, "MOST_OF_FIGURES", 100_000)
    monkeypatch.setattr(pages, "MOST_UNITS", 30)
    page = Page(write_report([run]).read_text())
    assert 0 < len(page.packed) < 4 and "the whole table is in the run's folder" in page.text
    assert "drawn by" in page.text and len(page.of("svg")) > 0
    assert "a random 30 are shown" in page.text


def test_the_largest_figures_have_to_go():
    pictures = [Picture(name, "", "x" * size) for name, size in (("a", 5), ("b", 50), ("c", 7))]
    assert [each.name for each in pages._within(pictures, 20)] == ["a", "c"]


def test_a_figure_is_an_image_with_a_title_and_its_text():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><metadata/>'
        '<defs><style>*{}</style></defs><defs><clipPath id="p"/></defs><g id="a" clip-path="url(#p)">'
        '<use xlink:href="#m"/><text>Ratio &lt;dropped></text><text>0.25</text></g></svg>'
    )
    root = ElementTree.fromstring(accessible(svg, "run0-fig 3", "Curves & areas"))
    assert [root[0].text, root[1].text] == ["Curves & areas", "Ratio <dropped>"]
    assert root.get("aria-labelledby") == root[0].get("id") and root.get("aria-describedby") == root[1].get("id")
    text = ElementTree.tostring(root, encoding="unicode")
    assert 'clip-path="url(#run0-fig_3-p)"' in text and 'id="run0-fig_3-p"' in text and '"#run0-fig_3-m"' in text
    assert "style>" not in text and "metadata" not in text


def test_the_command_says_where_it_is(tmp_path):
    run = making.write_run(tmp_path / "run", evaluation=making.evaluation_table(NETWORKS))
    result = CliRunner().invoke(cli.main, ["report", str(run)])
    assert result.exit_code == 0 and result.stdout.strip() == str(run / "report.html")
    result = CliRunner().invoke(cli.main, ["report", str(run), "--out", str(tmp_path / "x.html")])
    assert result.exit_code == 0 and (tmp_path / "x.html").read_text() == (run / "report.html").read_text()
    assert CliRunner().invoke(cli.main, ["report", str(tmp_path)]).exit_code == 2
