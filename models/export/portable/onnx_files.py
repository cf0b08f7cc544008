"""ONNX files: what is in them is looked at before anything runs them."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.portable.network import (
    PortableNetwork,
    Run,
    chosen_output,
    openvino_core,
    require_one_image,
    short_cause,
)

_LEAST_OPSET = 11
_KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
# OpenVINO 2026.4 leaves these out without a word, and computes something else
_LEFT_OUT = {"Resize": ("antialias", "exclude_outside")}
_USUAL_POOL = 2  # pixels that networks pool side by side to halve their features
_MOST_BYTES = 2**31  # of one protobuf file


def read_onnx(path: Path, options: AdoptOptions) -> PortableNetwork:
    """Read an ONNX file, its external data too; ONNX Runtime says what is right. Raises
    AdoptionError."""
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise AdoptionError(
                f"{package} is not installed; the onnx extra brings it: pip install segserve[onnx]"
            )
    proto = _parsed(path)
    _require_known_operators(path, proto)
    _load_external_data(path, proto)
    held = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in held]
    shape = _shape(inputs[0]) if inputs else ()
    require_one_image(path, [value.name for value in inputs], shape)
    outputs = [value.name for value in proto.graph.output]
    output = chosen_output(outputs, options)
    data = proto.SerializeToString()
    producer = f", by {proto.producer_name} {proto.producer_version}".rstrip(" ,by")
    return PortableNetwork(
        graph=_by_openvino(path, proto, data) if options.runtime == "openvino" else None,
        output=output,
        input_name=inputs[0].name,
        output_name=outputs[output],
        input_shape=shape,
        input_dtype=_dtype(inputs[0]),
        description=f"ONNX file {path.name}, opset {_opset(proto)}{producer}",
        parameters=sum(int(np.prod(tensor.dims)) for tensor in proto.graph.initializer),
        runtime="ONNX Runtime",
        run=_by_onnx_runtime(path, data, inputs[0].name, outputs[output]),
        onnx=data,
        doubt=_doubt(proto),
    )


def _parsed(path: Path) -> Any:
    """The ModelProto without its external data."""
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size >= _MOST_BYTES:
        raise AdoptionError(f"{path} has 2 GB or more, and a file of ONNX has less")
    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise AdoptionError(f"{path} is no ONNX file, or a part of one") from error
    if not proto.graph.node or not proto.opset_import:
        raise AdoptionError(f"{path} is no ONNX file: it holds no graph")
    if _opset(proto) < _LEAST_OPSET:
        raise AdoptionError(
            f"{path} is of opset {_opset(proto)}, and segtrain adopts those of {_LEAST_OPSET} and "
            "later; export it again from the framework it was trained in (onnx.version_converter "
            "moves what a linear Resize or Upsample gives by half a pixel)"
        )
    return proto


def _opset(proto: Any) -> int:
    return max((entry.version for entry in proto.opset_import if not entry.domain), default=0)


def _nodes(graph: Any) -> Iterator[Any]:
    """The graph's nodes, and those of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _require_known_operators(path: Path, proto: Any) -> None:
    defined = {(function.domain, function.name) for function in proto.functions}
    custom = {
        f"{node.domain}.{node.op_type}"
        for node in _nodes(proto.graph)
        if node.domain not in _KNOWN_DOMAINS and (node.domain, node.op_type) not in defined
    }
    if custom:
        raise AdoptionError(
            f"{path} has operators of its maker's own: {', '.join(sorted(custom))}; export it with "
            "ONNX's operators alone"
        )


def left_out_attributes(proto: Any) -> list[str]:
    """The attributes of operators that OpenVINO would leave out, such as `Resize antialias`."""
    return sorted(
        {
            f"{node.op_type} {attribute.name}={attribute.i}"
            for node in _nodes(proto.graph)
            for attribute in node.attribute
            if attribute.name in _LEFT_OUT.get(node.op_type, ()) and attribute.i
        }
    )


def _doubt(proto: Any) -> str:
    """What PyTorch's exporter makes of adaptive pooling: pools of windows of one size, side by
    side, by the size that it saw (findings/adaptive_pools_keep_the_size_they_saw.sh)."""
    windows = {
        window
        for node in _nodes(proto.graph)
        if node.op_type in ("AveragePool", "MaxPool")
        and (window := _ints(node, "kernel_shape")) == _ints(node, "strides")
        and max(window) > _USUAL_POOL
        and not any(_ints(node, "pads"))
    }
    if not windows:
        return ""
    sizes = " and ".join("×".join(map(str, window)) for window in sorted(windows))
    return (
        f"it pools windows of {sizes} that lie side by side, as PyTorch's exporter writes "
        "adaptive pooling (PSPNet's) for the size that it saw, so that another size is answered "
        "otherwise than by the network"
    )


def _ints(node: Any, name: str) -> tuple[int, ...]:
    return tuple(
        n for attribute in node.attribute if attribute.name == name for n in attribute.ints
    )


def _load_external_data(path: Path, proto: Any) -> None:
    """Read the weights that lie in other files. Raises AdoptionError where one is missing or is not
    in the model's folder."""
    from onnx import TensorProto
    from onnx.external_data_helper import load_external_data_for_model

    folder = path.parent.resolve()
    tensors = [
        *proto.graph.initializer,
        *(a.t for node in _nodes(proto.graph) for a in node.attribute if a.HasField("t")),
    ]
    size = proto.ByteSize()
    for tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        file = (folder / location).resolve()
        if not location or not file.is_relative_to(folder):
            raise AdoptionError(
                f"{path} says that its weights are in {location!r}, which is outside its folder; "
                "put them beside it, and save the model so"
            )
        if not file.is_file():
            raise AdoptionError(f"{path} has its weights in {location}, which is missing")
        size += int(said.get("length", file.stat().st_size))
    if size >= _MOST_BYTES:
        raise AdoptionError(f"{path} has 2 GB of weights or more, which is not served")
    try:
        load_external_data_for_model(proto, str(folder))
    except Exception as error:  # its checks of the file raise what they like
        raise AdoptionError(
            f"the weights of {path} cannot be read: {short_cause(error)}"
        ) from error


def _by_openvino(path: Path, proto: Any, data: bytes) -> Any:
    left_out = left_out_attributes(proto)
    if left_out:
        raise AdoptionError(
            f"{path} has {', '.join(left_out)}, which OpenVINO leaves out without a word; say "
            "--runtime onnx, which has ONNX Runtime serve it, or export it without, such as by "
            "interpolating without antialias"
        )
    try:
        return openvino_core().read_model(data, b"")
    except RuntimeError as error:
        raise AdoptionError(
            f"OpenVINO cannot read {path}: {short_cause(error)}; --runtime onnx has ONNX Runtime "
            "serve it"
        ) from error


def _by_onnx_runtime(path: Path, data: bytes, input_name: str, output_name: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says of sizes that are tried is no news
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise AdoptionError(f"ONNX Runtime cannot load {path}: {short_cause(error)}") from error

    def run(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.asarray(session.run([output_name], {input_name: values})[0])

    return run


def _shape(value: Any) -> tuple[int | None, ...]:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return (None,) * 4
    return tuple(side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim)


def _dtype(value: Any) -> str:
    from onnx.helper import tensor_dtype_to_np_dtype

    return str(np.dtype(tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)))
