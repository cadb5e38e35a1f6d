"""MindSpore's checkpoint format, read with protobuf alone: MindSpore need not be installed."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

LARGEST_FILE = 2**31 - 1
"""Bytes; protobuf itself refuses more, and a ResNet-50 with its optimiser is far below."""
MOST_DIMENSIONS = 8

_TYPES = {
    "Float64": np.float64,
    "Float32": np.float32,
    "Float16": np.float16,
    "Int64": np.int64,
    "Int32": np.int32,
    "Int16": np.int16,
    "Int8": np.int8,
    "UInt64": np.uint64,
    "UInt32": np.uint32,
    "UInt16": np.uint16,
    "UInt8": np.uint8,
    "Bool": np.bool_,
}
_TRAINING = ("moments.", "accum.", "moment1.", "moment2.")
_TRAINING_NAMES = {
    "global_step",
    "learning_rate",
    "momentum",
    "epoch_num",
    "step_num",
    "loss_scale",
    "scale_sense",
    "current_iterator_step",
    "last_overflow_iterator_step",
}


def is_training_state(name: str) -> bool:
    """Whether a name is of the optimiser or the loop rather than of the network."""
    return name.startswith(_TRAINING) or name in _TRAINING_NAMES


@cache
def checkpoint_message() -> type[message.Message]:
    """The message `Checkpoint` of MindSpore's checkpoint.proto: values of (tag, tensor: dims, tensor_type, content)."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="gelens_mindspore.proto", package="gelens", syntax="proto2")
    tensor = file.message_type.add(name="TensorProto")
    tensor.field.add(name="dims", number=1, label=field.LABEL_REPEATED, type=field.TYPE_INT64)
    tensor.field.add(name="tensor_type", number=2, label=field.LABEL_REQUIRED, type=field.TYPE_STRING)
    tensor.field.add(name="tensor_content", number=3, label=field.LABEL_REQUIRED, type=field.TYPE_BYTES)
    checkpoint = file.message_type.add(name="Checkpoint")
    value = checkpoint.nested_type.add(name="Value")
    value.field.add(name="tag", number=1, label=field.LABEL_REQUIRED, type=field.TYPE_STRING)
    value.field.add(
        name="tensor",
        number=2,
        label=field.LABEL_REQUIRED,
        type=field.TYPE_MESSAGE,
        type_name=".gelens.TensorProto",
    )
    checkpoint.field.add(
        name="value",
        number=1,
        label=field.LABEL_REPEATED,
        type=field.TYPE_MESSAGE,
        type_name=".gelens.Checkpoint.Value",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("gelens.Checkpoint"))


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name, those of the optimiser and the loop left out.

    Raises:
        ValueError: the file is too large, is no checkpoint, or a tensor's bytes do not fit its type and shape.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ValueError(f"it has {size} bytes; a MindSpore checkpoint has at most {LARGEST_FILE}")
    checkpoint = checkpoint_message()()
    try:
        checkpoint.ParseFromString(path.read_bytes())
    except message.DecodeError as error:
        raise ValueError("it is no MindSpore checkpoint, or a truncated one") from error
    if not checkpoint.value:
        raise ValueError("it is no MindSpore checkpoint, or an empty one")
    contents: dict[str, tuple[tuple[int, ...], str, bytearray]] = {}
    for value in checkpoint.value:
        if is_training_state(value.tag):
            continue
        tensor = value.tensor
        known = contents.setdefault(value.tag, (tuple(tensor.dims), tensor.tensor_type, bytearray()))
        if known[:2] != (tuple(tensor.dims), tensor.tensor_type):
            raise ValueError(f"tensor `{value.tag}` is there twice, with other types or shapes")
        known[2].extend(tensor.tensor_content)  # large tensors are cut into values of the same name
    return {name: _tensor(name, *content) for name, content in contents.items()}


def _tensor(name: str, dims: tuple[int, ...], kind: str, content: bytearray) -> torch.Tensor:
    if kind not in _TYPES:
        raise ValueError(f"tensor `{name}` is of type `{kind}`; expected one of {', '.join(_TYPES)}")
    dims = () if dims == (0,) and content else dims  # MindSpore writes a scalar as one dimension of 0
    if len(dims) > MOST_DIMENSIONS or any(dim < 0 for dim in dims):
        raise ValueError(f"tensor `{name}` has the shape {dims}")
    elements = 1
    for dim in dims:
        elements *= dim  # Python's integers do not overflow
    expected = elements * np.dtype(_TYPES[kind]).itemsize
    if expected != len(content):
        raise ValueError(f"tensor `{name}` has {len(content)} bytes; {kind} of shape {dims} needs {expected}")
    return torch.from_numpy(np.frombuffer(content, dtype=_TYPES[kind]).reshape(dims).copy())
