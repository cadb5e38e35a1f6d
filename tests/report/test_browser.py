"""The report in a real browser, Debian's Chromium: `apt-get install chromium`."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gelens.report import write_report
from tests.figures import making
from tests.report.pages import HOSTILE, NETWORKS, add_examples, write_run

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# where on the screen a unit of the scatter is
PLACE = """
(at) => {
  const views = Bokeh.documents[0];
  const view = Bokeh.index.find_one(views.get_model_by_name("scatter"));
  const { glyph, data_source } = views.get_model_by_name("points");
  const canvas = view.canvas_view.el.getBoundingClientRect();
  const of = (spec) => data_source.data[spec.field][at];
  return [canvas.x + view.frame.x_scale.compute(of(glyph.x)), canvas.y + view.frame.y_scale.compute(of(glyph.y))];
}
"""
ELEMENTS = """
() => {
  const found = [];
  const walk = (root) => root.querySelectorAll("*").forEach((each) => {
    found.push(each.localName);
    if (each.shadowRoot) walk(each.shadowRoot);
  });
  walk(document);
  return found;
}
"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright to drive the browser with")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = add_examples(write_run(tmp_path_factory.mktemp("runs") / "run"))
    pd.DataFrame([range(20)], columns=[f"column_{number}" for number in range(20)]).to_csv(folder / "wide.csv")
    write_report([folder])
    making.close()
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Markup in every name, and a page without the policy that would stop it: escaping alone has to hold."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "hostile", HOSTILE[:3], data={"name": HOSTILE[0]})
    units = pd.read_csv(folder / "selectivity.csv")
    units["top_class_name"] = [HOSTILE[number % len(HOSTILE)] for number in range(len(units))]
    units.to_csv(folder / "selectivity.csv", index=False)
    page = write_report([folder])
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text()))
    making.close()
    return folder


@pytest.fixture(scope="module")
def demo() -> Path:
    """What `make demo` left; CI runs the demo first."""
    folder = Path(__file__).parents[2] / "runs" / "demo"
    if not (folder / "report.html").exists():
        pytest.skip("no runs/demo/report.html: `make demo` has not been run here")
    return folder


class Opened:
    """The page of a run in the browser, once all views are there, and what went on."""

    def __init__(self, browser, run: Path, fragment: str = "", **options):
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}} | options)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type != "info" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.path = run / "report.html"
        self.page.goto(self.path.as_uri() + fragment)
        self.page.wait_for_selector("body[data-ready]")

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *exception) -> None:
        self.context.close()

    def hover(self, unit: int) -> list[str]:
        """What is shown of the unit of a row, with the pointer over it."""
        self.page.locator("#scatter").scroll_into_view_if_needed()
        x, y = self.page.evaluate(PLACE, unit)
        self.page.mouse.move(x - 40, y - 40)
        self.page.mouse.move(x, y)
        self.page.wait_for_selector(".bk-tooltip-row-value")
        return self.page.locator(".bk-tooltip-row-value").all_inner_texts()

    def shown(self) -> int:
        return int(self.page.text_content("#shown").split()[0])


def units_of(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "selectivity.csv")


def test_it_opens_without_an_error_and_fetches_nothing(browser, run):
    with Opened(browser, run) as opened:
        opened.hover(0)
        opened.page.emulate_media(color_scheme="dark")
        opened.page.emulate_media(media="print")
        assert opened.errors == []
        assert opened.requests == [opened.path.as_uri()]
        assert opened.page.locator("#trouble").is_hidden()


def test_the_page_of_the_demo_opens(browser, demo):
    with Opened(browser, demo) as opened:
        assert opened.shown() == len(units_of(demo))
        assert opened.errors == [] and opened.requests == [opened.path.as_uri()]


def test_hovering_shows_values_that_are_in_the_csv(browser, run):
    units = units_of(run)
    for at in (units["csi"].idxmin(), units["csi"].idxmax()):  # where no other unit lies on top
        row = units.loc[at]
        with Opened(browser, run) as opened:
            said = opened.hover(int(at))
        measures = [f"{row[name]:.4f}" for name in ("csi", "csi_null", "csi_crossfit")]
        assert said[2:6] == [str(row["unit"]), *measures]
        assert said[0] == {"mini_resnet": "mini ResNet", "mini_resnet_se": "mini ResNet SE"}[row["network"]]
        assert row["top_class_name"] in said


def test_filters_leave_what_the_csv_has(browser, run):
    units = units_of(run)
    with Opened(browser, run) as opened:
        page = opened.page
        assert opened.shown() == len(units)
        page.select_option("#block", "conv4-2")
        mine = units[units["block"] == "layer3.1"]
        assert opened.shown() == len(mine)
        page.locator(".network").first.uncheck()
        mine = mine[mine["network"] == NETWORKS[1]]
        assert opened.shown() == len(mine)
        page.fill("#search", 'class:"CLASS 1"')
        mine = mine[mine["top_class_name"] == "class 1"]
        assert opened.shown() == len(mine) > 0
        page.fill("#least", "0.3")
        mine = mine[mine["csi"] >= 0.3]
        assert opened.shown() == len(mine) > 0
        page.wait_for_timeout(300)
        rows = [row.inner_text() for row in page.locator("#table .slick-row").all()]
        assert len(rows) == len(mine)
        assert all(any(f"{index:.4f}" in row for row in rows) for index in mine["csi"])
        assert opened.errors == []


@pytest.mark.parametrize(
    "asked, chosen",
    [
        ("unit:2", lambda units: units["unit"] == 2),
        ('class:"class 1" unit:2', lambda units: (units["top_class_name"] == "class 1") & (units["unit"] == 2)),
        ("block:conv4-2", lambda units: units["block"] == "layer3.1"),
        ("unit:nothing", lambda units: units["unit"] < 0),
    ],
)
def test_words_are_searched_in_their_fields(browser, run, asked, chosen):
    units = units_of(run)
    with Opened(browser, run) as opened:
        opened.page.fill("#search", asked)
        assert opened.shown() == int(chosen(units).sum())


def test_a_click_leaves_every_point_where_it_was(browser, run):
    """By what is drawn: ink lies where units are, before and after one of them is picked."""

    def drawn(page, units) -> list[bool]:
        picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
        places = [page.evaluate(PLACE, unit) for unit in units]
        parts = [picture[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] for x, y in places]
        return [bool((part.max(2) - part.min(2)).max() > 15) for part in parts]  # colour, where paper and grid are grey

    with Opened(browser, run) as opened:
        page = opened.page
        units = units_of(run).dropna(subset=["csi", "csi_null"]).index[:12].tolist()
        page.select_option("#across", "csi_null")
        page.locator("#scatter").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        assert all(drawn(page, units))
        page.mouse.click(*page.evaluate(PLACE, units[5]))
        page.wait_for_selector("#picked p")
        page.mouse.move(5, 5)
        page.wait_for_timeout(500)
        assert all(drawn(page, units))
        assert opened.errors == []


def test_a_picked_unit_shows_its_images_and_classes(browser, run):
    with Opened(browser, run, color_scheme="dark") as opened:
        page = opened.page
        page.locator("#table .slick-row").nth(5).click()
        tiles = page.locator("#picked .examples span")
        assert [tile.get_attribute("aria-label") for tile in tiles.all()] == ["image 1", "image 2", "image 3"]
        for channel, tile in enumerate(tiles.all()):
            drawn = np.asarray(Image.open(io.BytesIO(tile.screenshot())).convert("RGB"))[12:-12, 12:-12].mean((0, 1))
            assert drawn.argmax() == channel and drawn[channel] > 200, "the colour of the image, as it is drawn"
        lines = page.locator("#picked .profile li")
        assert lines.count() == 10 and lines.first.inner_text().split("\n") == ["class 11", "12"]
        bars = [bar.bounding_box()["width"] for bar in page.locator("#picked .profile i").all()]
        assert bars[9] / bars[0] == pytest.approx(3 / 12, abs=0.02)
        assert "10 of 12 classes" in page.inner_text("#picked")
        assert opened.errors == [] and len(opened.requests) == 1


def test_a_link_picks_its_unit(browser, run):
    row = units_of(run).iloc[17]
    with Opened(browser, run) as opened:
        opened.page.locator("#table .slick-row").nth(5).click()
        address = opened.page.get_by_role("link", name="Link to this unit").get_attribute("href")
    assert address == "#unit/mini%20ResNet/conv4-1/5"
    with Opened(browser, run, f"#unit/mini%20ResNet/conv4-2/{row['unit']}") as opened:
        page = opened.page
        assert f"conv4-2, unit {row['unit']}" in page.inner_text("#picked") and f"{row['csi']:.4f}" in page.inner_text(
            "#picked"
        )
        assert page.locator("#picked").bounding_box()["y"] < 900
        page.select_option("#block", "conv4-2")
        page.evaluate(f"location.hash = '{address}'")
        page.wait_for_selector("#picked >> text=conv4-1, unit 5")
        assert opened.shown() == len(units_of(run)), "filters that would hide it are taken back"
        page.evaluate("location.hash = '#unit/nobody/conv4-1/5'")
        page.wait_for_selector("#picked >> text=is not in this page")
        assert opened.errors == []


def test_the_selection_is_taken_out(browser, run):
    units = units_of(run)

    def taken(page) -> pd.DataFrame:
        with page.expect_download() as file:
            page.click("#take")
        return pd.read_csv(file.value.path())

    with Opened(browser, run) as opened:
        page = opened.page
        page.fill("#search", 'class:"class 1"')
        shown = units[units["top_class_name"] == "class 1"]
        found = taken(page)
        assert found["unit"].tolist() == shown["unit"].tolist()
        assert np.allclose(found["csi"], shown["csi"], rtol=1e-6, equal_nan=True)
        page.fill("#search", "")
        page.locator("#table .slick-row").nth(3).click()
        assert taken(page)[["block", "unit"]].to_numpy().tolist() == [["conv4-1", 3]]


def test_an_empty_filter_is_silent_and_shows_nothing(browser, run):
    with Opened(browser, run) as opened:
        page = opened.page
        page.fill("#search", "unit:nothing")
        page.wait_for_timeout(300)
        drawn = np.asarray(Image.open(io.BytesIO(page.locator("#scatter").screenshot())).convert("RGB")).astype(int)
        assert (drawn[40:].max(2) - drawn[40:].min(2)).max() < 30, "no colour: no point is drawn"
        page.fill("#search", "")
        assert opened.errors == []


def test_no_head_of_the_table_is_cut(browser, run):
    cut = "(e) => e.parentElement.clientWidth < e.offsetLeft - e.parentElement.offsetLeft + e.scrollWidth"
    with Opened(browser, run) as opened:
        for head in opened.page.locator("#table .slick-column-name").all():
            assert not head.evaluate(cut), head.inner_text()


def test_all_controls_are_reached_by_keys(browser, run):
    with Opened(browser, run) as opened:
        page = opened.page
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        assert {"block", "across", "up", "least", "most", "search", "take", "curve-block", "order"} <= reached
        page.focus("#take")
        while page.evaluate("document.activeElement.parentElement.id || document.activeElement.id") != "table":
            page.keyboard.press("Tab")
        for unit in range(3):
            page.keyboard.press("ArrowDown")
            page.wait_for_selector(f"#picked >> text=unit {unit}:", timeout=5000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, run, scheme):
    """Contrast, names, roles, and what is scrolled by keys."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: `pip install -e .[test]`")
    with Opened(browser, run, color_scheme=scheme, bypass_csp=True) as opened:
        opened.page.locator("#table .slick-row").nth(5).click()
        opened.page.wait_for_selector("#picked .profile")
        found = axe.Axe().run(opened.page).response
        assert len(found["passes"]) > 20
        assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]] == []


def test_the_table_is_sorted_by_its_heads(browser, run):
    with Opened(browser, run) as opened:
        opened.page.locator("#table .slick-header-column", has_text="Selectivity index").click()
        opened.page.wait_for_timeout(300)
        rows = opened.page.locator("#table .slick-row").all_inner_texts()
        least = units_of(run)["csi"].min()
        assert any(f"{least:.4f}" in row for row in rows)


def test_a_unit_picked_in_one_view_is_marked_in_the_others(browser, run):
    row = units_of(run).iloc[5]
    with Opened(browser, run) as opened:
        page = opened.page
        page.locator("#scatter").scroll_into_view_if_needed()
        page.mouse.click(*page.evaluate(PLACE, 5))
        page.wait_for_selector("#picked p")
        assert f"unit {row['unit']}" in page.inner_text("#picked") and f"{row['csi']:.4f}" in page.inner_text("#picked")
        assert f"{row['csi']:.4f}" in page.locator("#table .slick-cell.selected").all_inner_texts()
        marks = page.evaluate("[...Bokeh.documents[0].get_model_by_name('marks').data.x]")
        assert marks == [pytest.approx(row["csi"], rel=1e-5)]
        page.locator("#table .slick-row").nth(2).click()
        page.wait_for_timeout(200)
        assert page.evaluate("[...Bokeh.documents[0].get_model_by_name('units').selected.indices]") == [2]
        assert "unit 2" in page.inner_text("#picked")


def test_curves_follow_block_order_and_intervals(browser, run):
    table = pd.read_csv(run / "pruning.csv", keep_default_na=False)
    mine = table[(table["network"] == NETWORKS[1]) & (table["block"] == "layer3.1")]
    most = mine[mine["order"].isin(["most", "none"])].sort_values("ratio")["top1"].tolist()
    drawn = "[...Bokeh.documents[0].get_model_by_name('curve-1-{}').data.top1]"
    renderers = "Bokeh.documents[0].get_model_by_name('curves').renderers"
    bands = f"{renderers}.filter((each) => each.name == 'band' && each.visible).length"
    with Opened(browser, run) as opened:
        page = opened.page
        page.select_option("#curve-block", "conv4-2")
        page.select_option("#order", "most")
        assert page.evaluate(drawn.format("most")) == pytest.approx(most, abs=1e-6)
        assert page.evaluate(drawn.format("least")) == []
        assert page.evaluate(bands) == 2
        page.uncheck("#bands")
        assert page.evaluate(bands) == 0
        assert opened.errors == []


def test_tables_and_figures_are_taken_out(browser, run):
    with Opened(browser, run) as opened:
        page = opened.page
        for details in page.locator("#tables details").all():
            details.locator("summary").click()
        with page.expect_download() as csv:
            page.click("button[data-name='selectivity.csv']")
        assert Path(csv.value.path()).read_text() == (run / "selectivity.csv").read_text()
        with page.expect_download() as svg:
            page.click("button[data-name='fig3_pruning.svg']")
        assert svg.value.suggested_filename == "fig3_pruning.svg"
        assert Path(svg.value.path()).read_text().startswith("<svg")
        assert opened.errors == []


def test_names_from_data_inject_no_markup(browser, hostile):
    """Not into the page, hovering, the table or what is picked, even where no policy would stop a script."""
    with Opened(browser, hostile) as opened:
        page = opened.page
        title = page.title()
        for at in range(5):
            assert page.evaluate("Bokeh.documents[0].get_model_by_name('units').data.top_class")[at] in opened.hover(at)
        page.locator("#table .slick-row").first.click()
        page.wait_for_selector("#picked p")
        assert HOSTILE[0] in page.inner_text("#picked") and HOSTILE[0] in page.inner_text("#table .slick-row >> nth=0")
        page.wait_for_timeout(300)
        assert page.title() == title == f"gelens: {hostile.name}"
        elements = page.evaluate(ELEMENTS)
        assert "img" not in elements and elements.count("script") == page.locator("script").count() == 5
        assert opened.errors == [] and opened.requests == [opened.path.as_uri()]


def test_it_fits_a_phone_in_the_dark(browser, run):
    with Opened(browser, run, viewport={"width": 390, "height": 800}, color_scheme="dark") as opened:
        page = opened.page
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
        sizes = page.evaluate(
            "[...document.querySelectorAll('figure svg')].map((each) => each.clientWidth / each.viewBox.baseVal.width)"
        )
        assert min(sizes) > 1.3, "letters of 8 points have 8 points; what does not fit is scrolled to"
        axis = "Bokeh.documents[0].get_model_by_name('scatter').left[0]"
        assert page.evaluate(f"{axis}.axis_label_text_color") == "#e3e6ea"


def test_printed_it_has_tables_instead_of_controls(browser, run):
    with Opened(browser, run) as opened:
        page = opened.page
        page.emulate_media(media="print")
        assert page.locator(".controls").first.is_hidden() and page.locator("#table").is_hidden()
        page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= 688, "wider pages are printed smaller"
        sizes = page.evaluate(
            "[...document.querySelectorAll('td, th, dd, dt, p')].map((e) => getComputedStyle(e).fontSize)"
        )
        assert min(float(each.removesuffix("px")) * 0.75 for each in sizes) >= 7
        assert page.evaluate("[...document.querySelectorAll('.scroll')].every((e) => e.scrollWidth <= e.clientWidth)")
        assert page.locator(".many").first.is_hidden() and page.locator(".unprinted").first.is_visible()
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = false")
        assert page.pdf(format="A4").startswith(b"%PDF")
        assert page.evaluate("document.querySelectorAll('details[open]').length") == 0, "closed again"
