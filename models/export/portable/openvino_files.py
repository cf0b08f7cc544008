"""Networks that OpenVINO reads itself: its own IR, and LiteRT's .tflite."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.portable.network import (
    PortableNetwork,
    Run,
    chosen_output,
    compiled_run,
    openvino_core,
    require_one_image,
    short_cause,
)

_LITERT_IDENTIFIER = b"TFL3"  # of FlatBuffers, behind the first offset


def read_ir(path: Path, options: AdoptOptions) -> PortableNetwork:
    """Read OpenVINO's .xml with the .bin beside it. Raises AdoptionError."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise AdoptionError(f"{weights} is missing; it holds the weights of {path.name}")
    if _root_of(path) != "net":
        raise AdoptionError(f"{path} cannot be read: it is not the XML of an OpenVINO network")
    return network_of(path, _read(path), options, f"OpenVINO IR {path.name}")


def read_litert(path: Path, options: AdoptOptions) -> PortableNetwork:
    """Read a .tflite file by OpenVINO; LiteRT says what is right where it is installed, else
    OpenVINO. Raises AdoptionError."""
    with path.open("rb") as file:
        if file.read(8)[4:] != _LITERT_IDENTIFIER:
            raise AdoptionError(f"{path} cannot be read: it is no LiteRT file, or a part of one")
    network = network_of(path, _read(path), options, f"LiteRT file {path.name}")
    run = _by_litert(path, network.output_name)
    return network if run is None else replace(network, runtime="LiteRT", run=run)


def _root_of(path: Path) -> str | None:
    """The name of an XML file's outermost element; None where there is none."""
    try:
        with path.open("rb") as file:
            return str(next(iter(ElementTree.iterparse(file, ("start",))))[1].tag)
    except (ElementTree.ParseError, StopIteration):
        return None


def _by_litert(path: Path, output_name: str) -> Run | None:
    """What runs the file in its own runtime; None where that is not installed."""
    if find_spec("ai_edge_litert") is None:
        return None
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    (given,) = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    meant = [one for one in outputs if one["name"] == output_name] or outputs
    if len(meant) != 1:
        return None

    def run(values: NDArray[np.generic]) -> NDArray[np.generic]:
        interpreter.resize_tensor_input(given["index"], values.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], values)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(meant[0]["index"]))

    return run


def network_of(path: Path, graph: Any, options: AdoptOptions, description: str) -> PortableNetwork:
    """An openvino.Model as an external network, of which OpenVINO says what is right. Raises
    AdoptionError."""
    names = [_name(port) for port in graph.inputs]
    shapes = [_shape(port) for port in graph.inputs]
    require_one_image(path, names, shapes[0] if shapes else ())
    outputs = [_name(port) for port in graph.outputs]
    output = chosen_output(outputs, options)
    return PortableNetwork(
        graph=graph,
        output=output,
        input_name=names[0],
        output_name=outputs[output],
        input_shape=shapes[0],
        input_dtype=np.dtype(graph.inputs[0].get_element_type().to_dtype()).name,
        description=description,
        parameters=_parameters(graph),
        runtime="OpenVINO",
        run=compiled_run(graph, output),
    )


def _read(path: Path) -> Any:
    try:
        return openvino_core().read_model(path)
    except RuntimeError as error:
        raise AdoptionError(f"{path} cannot be read: {short_cause(error)}") from error


def _name(port: Any) -> str:
    names = sorted(port.get_names())
    return str(names[0]) if names else str(port.get_node().get_friendly_name())


def _shape(port: Any) -> tuple[int | None, ...]:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return (None,) * 4
    return tuple(None if side.is_dynamic else side.get_length() for side in shape)


def _parameters(graph: Any) -> int:
    constants = (node for node in graph.get_ops() if node.get_type_name() == "Constant")
    return sum(
        int(np.prod(list(node.get_output_shape(0))))
        for node in constants
        if node.get_output_element_type(0).is_real()
    )
