"""What objects show where they end a cell of a notebook."""

import html.parser

import numpy as np
import torch

import gelens
from gelens import figures
from tests.conftest import make_data, make_network


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)


def tags(text: str) -> list[str]:
    parser = Tags()
    parser.feed(text)
    return parser.found


def test_data_show_an_image_of_each_class_and_no_markup_of_their_names():
    data = gelens.load_data("digits#val")
    assert repr(data) == "digits#val: 540 images of 10 classes"
    assert tags(data._repr_html_()).count("img") == 10
    data.classes = ["<script>alert(1)</script>", *data.classes[1:]]
    assert "script" not in tags(data._repr_html_())


def test_a_recording_shows_networks_and_taps_and_gives_means_by_class():
    network, data = make_network("mini_resnet_se"), gelens.load_data("digits#val").limited(40)
    options = gelens.SweepOptions("cpu", progress=False)
    recording = gelens.record({"<b>se": network}, data, blocks=["layer3.1"], taps=("output", "gate"), options=options)
    shown = recording._repr_html_()
    assert "b" not in tags(shown) and "layer3.1" in shown and "output, gate" in shown
    gates = recording.by_class("<b>se", "layer3.1", "gate")
    values = recording.matrix("<b>se", "layer3.1", "gate")
    assert gates.index.tolist() == [str(digit) for digit in range(10)]
    expected = [values[recording.labels == digit, 5].mean() for digit in range(10)]
    np.testing.assert_allclose(gates[5], expected, rtol=1e-6)


def test_images_are_given_as_the_pass_gives_them():
    network, data = make_network("mini_resnet"), gelens.load_data("digits#val").limited(30)
    images, labels = next(gelens.images_for(network, data, 30, "cpu"))
    with torch.no_grad():
        errors = 100 * (network(images).argmax(1) != labels).double().mean().item()
    row = gelens.evaluate(network, data, gelens.SweepOptions("cpu", batch_size=30, progress=False)).iloc[0]
    assert row["top1_error"] == errors


def test_a_network_is_described():
    told = gelens.describe("thin_resnet50_se@cifar10")
    assert told["parameters"] == 420850 and told["training_seed"] in (0, "0") and "32" in told["preprocessing"]


def test_a_figure_is_told_in_a_line_and_still_a_pair():
    network = make_network("mini_resnet")
    options = gelens.SweepOptions("cpu", progress=False)
    table = gelens.selectivity(network, make_data(20), blocks=["layer3.0", "layer3.1"], options=options)
    drawn = figures.selectivity(table)
    figure, axes = drawn
    assert repr(drawn) == "figure with 2 panels" and figure is drawn.figure and axes is drawn.axes


def test_metrics_say_what_they_measure():
    metric = gelens.ClassSelectivity(classes=3, units=4)
    assert repr(metric) == "ClassSelectivity of 4 units over 3 classes, 0 batches so far"
