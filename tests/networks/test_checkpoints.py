"""Every layout of weights: networks of other libraries with equal logits, round trips, and files that are refused."""

import struct

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from gelens.errors import RunError, UsageError
from gelens.networks import load_network, mindspore, published, save_weights
from gelens.networks.checkpoints import read_checkpoint
from gelens.networks.preprocessing import IMAGENET_MEAN
from tests.conftest import shake


def images(size: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "reference, name",
    [
        ("resnet50", "resnet50"),
        ("resnet101", "resnet101"),
        ("resnet50_se", "seresnet50"),
        ("resnet50_se", "legacy_seresnet50"),
        ("resnet101_se", "legacy_seresnet101"),
    ],
)
def test_timms_networks_give_equal_logits(reference, name, tmp_path):
    theirs = shake(timm.create_model(name))
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    ours = load_network(f"{reference}@{tmp_path}/w.pth")
    with torch.inference_mode():
        assert torch.equal(ours(images()), theirs(images()))
    assert ("Cadene" in ours.layout) == name.startswith("legacy")
    assert (f"stride_in={'1x1' if 'legacy' in name else '3x3'}") in ours.reference


def test_torchvisions_network_gives_equal_logits(tmp_path):
    theirs = shake(torchvision.models.resnet50())
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours = load_network(f"resnet50@{tmp_path}/w.safetensors")
    with torch.inference_mode():
        assert torch.equal(ours(images()), theirs(images()))


class _SE(nn.Module):
    """Squeeze and excitation as two Linear layers without bias, as moskomule's repository names them."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = channels // 16
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class _SEBottleneck(Bottleneck):
    def __init__(self, inplanes, planes, *args, **kwargs):
        super().__init__(inplanes, planes, *args, **kwargs)
        self.se = _SE(4 * planes)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se(self.bn3(self.conv3(out)))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def test_moskomules_names(tmp_path):
    theirs = shake(TorchvisionResNet(_SEBottleneck, [3, 4, 6, 3]))
    torch.save(theirs.state_dict(), tmp_path / "w.pkl")
    ours = load_network(f"resnet50_se@{tmp_path}/w.pkl")
    assert not any("fc1.bias" in key for key in ours.state_dict()) and "bias=false" in ours.reference
    with torch.inference_mode():
        # a Linear and a 1×1 convolution of the same numbers: other kernels, the last bits may differ
        torch.testing.assert_close(ours(images()), theirs(images()), rtol=1e-4, atol=1e-4)


def to_caffe(state: dict, split: bool) -> dict[str, torch.Tensor]:
    """Our names to Caffe's, by hand: what the converter must undo."""
    parts = {"conv1": "1x1_reduce", "conv2": "3x3", "conv3": "1x1_increase"}
    result = {}
    for key, value in state.items():
        module, _, kind = key.rpartition(".")
        words = module.split(".")
        if kind == "num_batches_tracked":
            continue
        if words[0] in ("conv1", "bn1"):
            layer = "conv1/7x7_s2" + ("/bn" if words[0] == "bn1" else "")
        elif words[0] == "fc":
            layer = "classifier"
        else:
            block = f"conv{int(words[0][5:]) + 1}_{int(words[1]) + 1}"
            part = ".".join(words[2:])
            names = {
                "downsample.0": "1x1_proj",
                "downsample.1": "1x1_proj/bn",
                "se.fc1": "1x1_down",
                "se.fc2": "1x1_up",
            }
            names |= {"se.gather.0": "gather", "se.gather.1": "gather/bn"}
            names |= {"se.excite.1": "excite/1x1_down", "se.excite.3": "excite/1x1_up"}
            names |= parts | {f"bn{number}": f"{parts[f'conv{number}']}/bn" for number in (1, 2, 3)}
            layer = f"{block}{'_' if split else '/'}{names[part]}"
        if layer.endswith("/bn"):
            number = ["weight", "bias", "running_mean", "running_var"].index(kind)
            if split and number < 2:
                result[f"{layer}/scale/{number}"] = value
            elif split:
                result[f"{layer}/{number - 2}"] = value * 4  # Caffe keeps sums and the factor to divide by
                result[f"{layer}/2"] = torch.tensor([4.0])
            else:
                result[f"{layer}/{number}"] = value[None, :, None, None]
        else:
            value = value.flip(1) if layer == "conv1/7x7_s2" else value
            result[f"{layer}/{0 if kind == 'weight' else 1}"] = value
    return {key: value.contiguous() for key, value in result.items()}


@pytest.mark.parametrize("split", [False, True], ids=["four blobs", "with scale layers"])
@pytest.mark.parametrize("name", ["resnet50", "resnet50_se", "resnet50_ge_theta_minus", "resnet50_ge_theta_plus"])
def test_caffes_names(name, split, tmp_path):
    source = shake(load_network(f"{name}:stride_in=1x1"))
    arrays = {key: value.numpy() for key, value in to_caffe(source.state_dict(), split).items()}
    np.savez(tmp_path / "w.npz", **arrays)
    loaded = load_network(f"{name}@{tmp_path}/w.npz")
    assert loaded.reference == source.reference and "Caffe" in loaded.layout
    for key, value in source.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(loaded.state_dict()[key], value), key
    assert any("BGR" in note for note in loaded.notes)
    pixels = torch.full((1, 3, 224, 224), 123, dtype=torch.uint8)
    # a red of 123 is the mean, and values stay on the scale of 0 … 255
    assert loaded.preprocessing.normalize(pixels)[0, :, 0, 0].tolist() == pytest.approx([0, 6, 19], abs=1e-3)


def protobuf(field: int, content: bytes) -> bytes:
    """A length-delimited field in the wire format, written out by hand."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])


def mindspore_value(tag: str, array: np.ndarray, kind: str = "Float32", content: bytes | None = None) -> bytes:
    dims = b"".join(_varint(1 << 3) + _varint(dim) for dim in array.shape)
    content = array.tobytes() if content is None else content
    tensor = dims + protobuf(2, kind.encode()) + protobuf(3, content)
    return protobuf(1, protobuf(1, tag.encode()) + protobuf(2, tensor))


def to_mindspore(state: dict) -> dict[str, np.ndarray]:
    """Our names to those of MindSpore's GENet_Res50, by hand."""
    kinds = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    result = {}
    for key, value in state.items():
        module, _, kind = key.rpartition(".")
        if kind == "num_batches_tracked":
            continue
        words = module.split(".")
        normed = kind.startswith("running") or (value.ndim == 1 and words[0] != "fc")
        if words[0] == "fc":
            words[0] = "end_point"
        elif words[0].startswith("layer"):
            if words[2] == "downsample":
                words = [*words[:2], "down_layer", ("conv", "batchnorm")[int(words[3])]]
            elif words[2] == "se":
                words = [*words[:2], {"gather": "downop", "excite": "mlpLayer"}[words[3]], words[4]]
            else:
                words = [*words[:2], f"conv{words[2][-1]}", "batchnorm" if normed else "conv"]
        if normed:
            kind = kinds.get(kind) or {"weight": "gamma", "bias": "beta"}[kind]
        result[".".join([*words, kind])] = value.numpy()
    return result


@pytest.mark.parametrize("variant", ["theta_minus", "theta", "theta_plus"])
def test_mindspores_names_in_its_own_format(variant, tmp_path):
    source = shake(load_network(f"resnet50_ge_{variant}:port=mindspore"))
    values = [mindspore_value(name, array) for name, array in to_mindspore(source.state_dict()).items()]
    values.append(mindspore_value("moments.conv1.weight", np.zeros(3, np.float32)))
    values.append(mindspore_value("global_step", np.zeros((), np.int32), "Int32"))
    (tmp_path / "w.ckpt").write_bytes(b"".join(values))
    loaded = load_network(f"resnet50_ge_{variant}@{tmp_path}/w.ckpt")
    assert "MindSpore" in loaded.layout and loaded.reference == source.reference
    with torch.inference_mode():
        assert torch.equal(loaded(images(224)), source(images(224)))
    if variant != "theta_minus":
        with pytest.raises(UsageError, match="are not of resnet50_ge_theta_minus"):
            load_network(f"resnet50_ge_theta_minus@{tmp_path}/w.ckpt")


def test_mindspores_variant_by_hand():
    """The published model definition of the port: dense 3×3 first where maps are 56 px, SAME padding, no biases."""
    network = shake(load_network("resnet50_ge_theta_plus:port=mindspore"))
    first, later = network.layer1[0].se, network.layer2[0].se
    dense, spanning = first.gather[0], first.gather[2]
    assert (dense.kernel_size, dense.stride, dense.groups) == ((3, 3), (2, 2), 1)
    assert spanning.kernel_size == (28, 28) and spanning.groups == 256
    assert later.gather[0].kernel_size == (28, 28) and network.bn1.eps == 1e-4
    assert first.excite[0].bias is None and first.excite[2].bias is None
    x = images(224)
    with torch.inference_mode():
        padded = nn.functional.pad(x, (2, 3, 2, 3))  # 7×7 stride 2 over 224: five in all, the odd one after
        stem = network.act1(network.bn1(nn.functional.conv2d(padded, network.conv1.weight, stride=2)))
        stem = nn.functional.max_pool2d(nn.functional.pad(stem, (0, 1, 0, 1), value=-torch.inf), 3, 2)
        assert torch.equal(network.maxpool(network.act1(network.bn1(network.conv1(x)))), stem)
        y = torch.randn(2, 256, 56, 56)
        gathered = nn.functional.conv2d(nn.functional.pad(y, (0, 1, 0, 1)), dense.weight, stride=2)
        gathered = first.gather[3](nn.functional.conv2d(first.gather[1](gathered), spanning.weight, groups=256))
        gate = torch.sigmoid(first.excite[2](torch.relu(first.excite[0](gathered))))
        torch.testing.assert_close(first(y), y * gate)
        block, z = network.layer2[0], torch.randn(2, 256, 56, 56)
        assert {block.bn1.eps, block.bn2.eps, block.bn3.eps, first.gather[1].eps} == {1e-5}
        branch = torch.relu(block.bn1(block.conv1(z)))
        branch = nn.functional.conv2d(nn.functional.pad(branch, (0, 1, 0, 1)), block.conv2.weight, stride=2)
        branch = block.se(block.bn3(block.conv3(torch.relu(block.bn2(branch)))))
        torch.testing.assert_close(block(z), torch.relu(branch + block.downsample(z)))


def test_tensors_cut_into_several_values_are_put_together(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    halves = [mindspore_value("a", array, content=part) for part in (array.tobytes()[:8], array.tobytes()[8:])]
    (tmp_path / "w.ckpt").write_bytes(b"".join(halves))
    assert torch.equal(mindspore.read(tmp_path / "w.ckpt")["a"], torch.from_numpy(array))


@pytest.mark.parametrize(
    "content, message",
    [
        (mindspore_value("a", np.zeros(4, np.float32))[:-3], "truncated"),
        (b"", "empty"),
        (b"\xff" * 40, "no MindSpore checkpoint"),
        (mindspore_value("a", np.zeros(4, np.float32), content=b"123"), "has 3 bytes; Float32 of shape .* needs 16"),
        (mindspore_value("a", np.zeros(4, np.float32), "Object"), "of type `Object`"),
        (mindspore_value("a", np.zeros((1,) * 9, np.float32)), "has the shape"),
        (
            mindspore_value("a", np.zeros(2, np.float32)) + mindspore_value("a", np.zeros(2, np.int32), "Int32"),
            "is there twice",
        ),
    ],
    ids=["truncated", "empty", "garbage", "bytes", "type", "dimensions", "twice"],
)
def test_damaged_mindspore_files(content, message, tmp_path):
    (tmp_path / "w.ckpt").write_bytes(content)
    with pytest.raises(RunError, match=f"cannot read weights .*{message}"):
        load_network(f"resnet50_ge_theta@{tmp_path}/w.ckpt")


def test_wrappers_and_prefixes(tmp_path):
    source = shake(load_network("mini_resnet_se"))
    state = source.state_dict()
    averaged = {"n_averaged": torch.tensor(3)} | {f"module.{key}": value * 2 for key, value in state.items()}
    for name, wrapped, factor in (
        ("module", {f"module.{key}": value for key, value in state.items()}, 1),
        ("compiled", {f"_orig_mod.module.{key}": value for key, value in state.items()}, 1),
        ("state_dict", {"epoch": 3, "arch": "x", "state_dict": state, "optimizer": {"lr": 0.1}}, 1),
        ("model_ema", {"model": state, "model_ema": averaged}, 2),
    ):
        torch.save(wrapped, tmp_path / f"{name}.pth")
        checkpoint = read_checkpoint(f"{tmp_path}/{name}.pth")
        assert torch.equal(checkpoint.state["fc.weight"], state["fc.weight"] * factor), name
        assert load_network(f"mini_resnet_se@{tmp_path}/{name}.pth")
    assert checkpoint.notes == ["took `model_ema` of the checkpoint, not `model`: FILE#model takes that"]
    other = read_checkpoint(f"{tmp_path}/model_ema.pth#model")
    assert torch.equal(other.state["fc.weight"], state["fc.weight"]) and not other.notes


def test_what_the_names_cannot_tell_is_said(tmp_path, caplog):
    torch.save(load_network("resnet50").state_dict(), tmp_path / "w.pth")
    network = load_network(f"resnet50@{tmp_path}/w.pth")
    assert "taken to be in the 3x3" in caplog.text and "a gate without parameters: taken to be none" in caplog.text
    assert "does not tell its preprocessing: taken to be 224 px, crop 0.875, bilinear" in caplog.text
    assert len(network.notes) == 3
    caplog.clear()
    other = load_network(f"resnet50:stride_in=1x1@{tmp_path}/w.pth")
    assert "taken to be in the" not in caplog.text and len(other.notes) == 2
    gated = load_network(f"resnet50_ge_theta_minus:extent=4,pool=max@{tmp_path}/w.pth")
    assert any("taken to be extent=4, pool=max" in note for note in gated.notes)
    assert other.layer2[0].conv1.stride == (2, 2) and other.maxpool.padding == 0 and other.maxpool.ceil_mode
    legacy = timm.create_model("legacy_seresnet50").state_dict()
    torch.save(legacy, tmp_path / "legacy.pth")
    with pytest.raises(UsageError, match=r"\(Cadene.*trained with stride_in=1x1, but stride_in=3x3"):
        load_network(f"resnet50_se:stride_in=3x3@{tmp_path}/legacy.pth")


def test_another_class_count_says_what_to_write(tmp_path):
    torch.save(load_network("resnet50:classes=7").state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"write resnet50:classes=7"):
        load_network(f"resnet50@{tmp_path}/w.pth")


@pytest.mark.parametrize(
    "names, message",
    [
        (["conv4_2/1x1_odd/0"], "layer `conv4_2/1x1_odd` is not of a Caffe"),
        (["conv1/7x7_s2/bn/0"], r"batch norm `conv1/7x7_s2/bn` has the blobs \[0\]"),
        (["conv2_1/3x3/1"], r"layer `conv2_1/3x3` has the blobs \[1\]"),
        (["conv2_1/3x3/0", "conv2_1_3x3/0"], "two of its tensors are `0`"),
        (["conv2_1/3x3/bn/scale/0"], "has no batch norm before it"),
        ([f"conv2_1/3x3/bn/{n}" for n in (0, 1, 2, 3)] + ["conv2_1/3x3/bn/scale/0"], "beside its scale layer"),
        (["conv2_1/3x3/bn/0", "conv2_1/3x3/bn/1", "conv2_1/3x3/bn/2"], r"has the blobs \[0, 1, 2\]; expected γ"),
    ],
)
def test_arrays_that_do_not_fit_caffes_names(names, message, tmp_path):
    np.savez(tmp_path / "w.npz", **{name: np.zeros((2, 2)) for name in ["conv1/7x7_s2/0", *names]})
    with pytest.raises(RunError, match=message):
        load_network(f"resnet50@{tmp_path}/w.npz")


def test_a_batch_norm_whose_factor_is_zero(tmp_path):
    arrays = {f"conv1/7x7_s2/bn/{number}": np.zeros(1 if number == 2 else 64) for number in (0, 1, 2)}
    arrays |= {f"conv1/7x7_s2/bn/scale/{number}": np.ones(64) for number in (0, 1)}
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(RunError, match="never trained"):
        load_network(f"resnet50@{tmp_path}/w.npz")


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([{"code": print}], dtype=object))
    with pytest.raises(RunError, match="cannot read weights"):
        load_network(f"resnet50@{tmp_path}/w.npz")


def test_published_names():
    from gelens.networks.references import parse

    known = published.choices(parse("resnet50_se"))
    assert known["a1_in1k"] == ("timm", "seresnet50.a1_in1k")
    assert known["legacy_seresnet50.in1k"] == ("timm", "legacy_seresnet50.in1k")
    assert published.choices(parse("resnet50"))["tv_in1k"][1] == "resnet50.tv_in1k"
    assert published.choices(parse("resnet50"))["IMAGENET1K_V2"] == ("torchvision", "resnet50")
    assert "a1_in1k" in published.choices(parse("timm/resnet50"))
    with pytest.raises(UsageError, match=r"published weights of resnet50 called `a9_in1k`.*did you mean"):
        load_network("resnet50@a9_in1k")


def test_published_weights_carry_their_preprocessing(monkeypatch):
    """The download replaced by a network of random weights; everything around it is real."""
    theirs = shake(timm.create_model("legacy_seresnet50"))
    create = timm.create_model

    def offline(name, pretrained=False, **options):
        return theirs if pretrained else create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    ours = load_network("resnet50_se@legacy_seresnet50.in1k")
    assert "stride_in=1x1" in ours.reference and ours.preprocessing.mean == IMAGENET_MEAN
    with torch.inference_mode():
        assert torch.equal(ours(images()), theirs(images()))
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    state = torchvision.models.resnet50().state_dict()
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: state)
    ours = load_network("resnet50@IMAGENET1K_V2")
    assert (ours.preprocessing.size, ours.preprocessing.crop_pct) == (224, 224 / 232)


@pytest.mark.parametrize("reference", ["resnet50@a1_in1k", "resnet50@IMAGENET1K_V1", "resnet50_se@in1k"])
def test_without_a_network_one_line_says_what_to_fetch(reference, monkeypatch):
    def refuse(*args, **options):
        raise OSError("network is unreachable")

    monkeypatch.setattr(timm, "create_model", refuse)
    monkeypatch.setattr(torchvision.models.ResNet50_Weights, "get_state_dict", refuse)
    with pytest.raises(RunError, match=r"cannot fetch .*unreachable.*download http.*name the file as .*@FILE"):
        load_network(reference)


def test_a_global_theta_network_at_another_size_names_both_sizes():
    network = load_network("resnet50_ge_theta")
    with pytest.raises(ValueError, match=r"built for a 56×56 map but got 64×64"):
        network(torch.zeros(1, 3, 256, 256))
    assert load_network("resnet50_ge_theta:size=256")(torch.zeros(1, 3, 256, 256)).shape == (1, 1000)


def test_large_headers_do_not_fool_the_reader(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(RunError, match="cannot read weights"):
        load_network(f"resnet50@{tmp_path}/w.safetensors")


def test_other_libraries_networks_take_their_own_names_and_no_others(tmp_path):
    legacy = shake(timm.create_model("legacy_seresnet50"))
    torch.save(legacy.state_dict(), tmp_path / "legacy.pth")
    ours = load_network(f"timm/legacy_seresnet50@{tmp_path}/legacy.pth")
    with torch.inference_mode():
        assert torch.equal(ours(images()), legacy(images()))
    for reference in ("timm/seresnet50", "torchvision/resnet50"):
        with pytest.raises(UsageError, match="missing"):
            load_network(f"{reference}@{tmp_path}/legacy.pth")
    np.savez(
        tmp_path / "caffe.npz", **{k: v.numpy() for k, v in to_caffe(load_network("resnet50").state_dict(), 0).items()}
    )
    with pytest.raises(UsageError, match="missing"):
        load_network(f"timm/resnet50@{tmp_path}/caffe.npz")
    save_weights(load_network("resnet50:stride_in=1x1"), tmp_path / "own.safetensors")
    with pytest.raises(UsageError, match=r"are of resnet50:.*stride_in=1x1.*, not of timm/resnet50"):
        load_network(f"timm/resnet50@{tmp_path}/own.safetensors")


def test_a_layout_that_needs_what_a_network_lacks(tmp_path):
    source = load_network("resnet50_ge_theta_minus:port=mindspore").state_dict()
    values = [mindspore_value(name, array) for name, array in to_mindspore(source).items()]
    (tmp_path / "w.ckpt").write_bytes(b"".join(values))
    with pytest.raises(UsageError, match="need port=mindspore, which resnet50 does not take"):
        load_network(f"resnet50@{tmp_path}/w.ckpt")
    with pytest.raises(UsageError, match="port=mindspore has its strides in the 3x3"):
        load_network("resnet50_ge_theta:port=mindspore,stride_in=1x1")


def test_an_explicit_size_is_the_size_that_images_get(tmp_path):
    save_weights(load_network("resnet50"), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="trained with size=224, but size=288"):
        load_network(f"resnet50:size=288@{tmp_path}/w.safetensors")
    torch.save(load_network("resnet50").state_dict(), tmp_path / "w.pth")
    assert load_network(f"resnet50:size=288@{tmp_path}/w.pth").preprocessing.size == 288


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda value: (value * 100).to(torch.int8), "is of torch.int8; expected floating point"),
        (lambda value: value.to(torch.complex64), "is of torch.complex64"),
        (lambda value: value * float("nan"), "not finite"),
    ],
    ids=["int8", "complex", "nan"],
)
def test_numbers_that_are_no_weights(change, message, tmp_path):
    state = load_network("mini_resnet").state_dict()
    torch.save(state | {"fc.weight": change(state["fc.weight"])}, tmp_path / "w.pth")
    with pytest.raises(RunError, match=message):
        load_network(f"mini_resnet@{tmp_path}/w.pth")


def test_half_precision_and_a_negative_variance(tmp_path):
    state = load_network("mini_resnet").state_dict()
    torch.save({key: value.half() for key, value in state.items() if value.is_floating_point()}, tmp_path / "h.pth")
    network = load_network(f"mini_resnet@{tmp_path}/h.pth")
    assert network.fc.weight.dtype == torch.float32 and any("torch.float16" in note for note in network.notes)
    torch.save(state | {"bn1.running_var": -state["bn1.running_var"]}, tmp_path / "v.pth")
    with pytest.raises(RunError, match=r"bn1\.running_var has variances below 0"):
        load_network(f"mini_resnet@{tmp_path}/v.pth")


def test_what_training_scripts_leave_in_a_checkpoint(tmp_path):
    """argparse's arguments and numpy's scores beside the state; Lightning's prefix; a name that says another format."""
    import argparse

    state = load_network("mini_resnet_se").state_dict()
    for name, content in (
        ("args.pth", {"state_dict": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.5)}),
        ("lightning.ckpt", {"state_dict": {f"model.{key}": value for key, value in state.items()}}),
        ("torch.safetensors", state),
        ("ema.pth", {"state_dict_ema": state}),
    ):
        torch.save(content, tmp_path / name)
        network = load_network(f"mini_resnet_se@{tmp_path}/{name}")
        assert torch.equal(network.fc.weight, state["fc.weight"]), name
    assert any("state_dict_ema" in note for note in network.notes)
    save_file(state, tmp_path / "safe.pth")
    assert load_network(f"mini_resnet_se@{tmp_path}/safe.pth")


def test_a_whole_pickled_module_says_what_to_save(tmp_path):
    torch.save(load_network("mini_resnet"), tmp_path / "w.pth")
    with pytest.raises(RunError, match=r"it holds .*(timm|torch)\..*never unpickled; save model\.state_dict\(\) alone"):
        load_network(f"mini_resnet@{tmp_path}/w.pth")


@pytest.mark.parametrize(
    "content",
    [b"\x80\x02.", b"\x80\x02]R.", b"PK\x03\x04" + b"x" * 50, b"\x00" * 200, b"\x0a\x02ab"],
    ids=["empty pickle", "odd pickle", "cut zip", "zeros", "odd protobuf"],
)
@pytest.mark.parametrize("name", ["w.pth", "w.npz", "w.ckpt", "w.safetensors"])
def test_any_damaged_file_is_one_clear_error(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=r"cannot read weights .*: .+") as caught:
        load_network(f"mini_resnet@{tmp_path}/{name}")
    assert "\n" not in str(caught.value)


def test_odd_archives_and_metadata(tmp_path):
    np.savez(tmp_path / "text.npz", a=np.array(["text"]))
    torch.save({0: torch.zeros(1)}, tmp_path / "numbers.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "bad.safetensors", {"preprocessing": "{bad"})
    for name in ("text.npz", "numbers.pth", "bad.safetensors"):
        with pytest.raises(RunError, match="cannot read weights"):
            load_network(f"mini_resnet@{tmp_path}/{name}")
    with pytest.raises(UsageError, match="no torchvision network `foo`"):
        load_network("torchvision/foo@bar")


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    from gelens.networks import checkpoints

    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(10_000))
    monkeypatch.setattr(checkpoints, "LARGEST", 50_000)
    with pytest.raises(RunError, match=r"it unpacks to 80.* bytes; expected at most 50000"):
        load_network(f"mini_resnet@{tmp_path}/w.npz")


def test_published_numbers_are_shown_of_the_published_networks_only():
    from gelens.networks.catalogue import published_errors, published_gmacs
    from gelens.networks.references import parse

    assert published_errors(parse("resnet50_ge_theta_minus")) == (22.14, 6.24)
    assert published_errors(parse("resnet50_ge_theta:port=mindspore")) == (21.93, 6.07)
    for other in ("resnet50:classes=10", "resnet50_se:size=64", "resnet50_ge_theta:extent=4", "mini_resnet", "mine"):
        assert published_errors(parse(other)) is None and published_gmacs(parse(other)) is None
