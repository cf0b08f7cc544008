"""PyTorch's own files that hold a graph: ExportedProgram (.pt2) and TorchScript, where torch is
installed. What holds pickled code is told from them by its archive, and never opened."""

import contextlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.portable.network import (
    PortableNetwork,
    chosen_output,
    openvino_core,
    require_one_image,
    short_cause,
)

_PICKLED = (
    "{name} is PyTorch's: it holds weights alone, or code that would run as it is read, and is not "
    "opened. Export the network where its code is, with torch.onnx.export(network, (image,), "
    "'network.onnx', …), or torch.export.save(torch.export.export(network, (image,)), "
    "'network.pt2'), and adopt that: docs/adopt.md"
)
_MOST_CONFIG_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Read:
    """`source` is what OpenVINO converts, `module` what torch runs."""

    source: Any
    module: Any
    shape: tuple[int | None, ...]
    parameters: int


def read_torch(path: Path, options: AdoptOptions) -> PortableNetwork:
    """Read an ExportedProgram or a TorchScript file; torch says what is right, OpenVINO's own
    front end converts. Raises AdoptionError."""
    kind = _kind(path)
    if options.runtime == "onnx":
        raise AdoptionError(f"--runtime onnx serves ONNX files alone; {path.name} is none")
    if find_spec("torch") is None:
        raise AdoptionError(
            f"{path.name} is a {kind}, which is read where torch is installed beside segtrain: pip "
            "install torch. Or export the network with torch.onnx.export and adopt the ONNX file: "
            "docs/adopt.md"
        )
    openvino_core()
    try:
        import openvino

        read = _exported(path) if kind == "ExportedProgram" else _scripted(path, options)
        names, run = _outputs(read.module, read.shape)
        output = chosen_output(names, options)
        graph = openvino.convert_model(read.source)
    except AdoptionError:
        raise
    except Exception as error:  # torch and its front end raise what they like
        raise AdoptionError(f"{path} cannot be read: {short_cause(error)}") from error
    dtype = graph.inputs[0].get_element_type()
    return PortableNetwork(
        graph=graph,
        output=output,
        input_name="image",
        output_name=names[output],
        input_shape=read.shape,
        input_dtype="float32" if dtype.is_dynamic() else np.dtype(dtype.to_dtype()).name,
        description=f"{kind} {path.name}",
        parameters=read.parameters,
        runtime="PyTorch",
        run=lambda values: run(values, output),
    )


def _kind(path: Path) -> str:
    """What an archive holds, by its names alone. Raises AdoptionError for what is pickled."""
    refusal = AdoptionError(_PICKLED.format(name=path.name))
    if not zipfile.is_zipfile(path):
        raise refusal
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
        if "archive_format" in names:
            _require_plain_tensors(path, archive)
            return "ExportedProgram"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "TorchScript file"
    raise refusal


def _require_plain_tensors(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise AdoptionError where torch.export.load would unpickle objects or load compiled code."""
    for entry in archive.infolist():
        inner = entry.filename.partition("/")[2]
        if inner.startswith("data/aotinductor/"):
            raise AdoptionError(
                f"{path.name} holds compiled code; save it with torch.export.save instead"
            )
        if not (inner.startswith("data/") and inner.endswith("_config.json")):
            continue
        if entry.file_size > _MOST_CONFIG_BYTES:
            raise AdoptionError(f"{path.name}: {inner} is larger than any such list")
        try:
            listed = json.loads(archive.read(entry))["config"].items()
            pickled = [name for name, one in listed if one["use_pickle"] or not one["tensor_meta"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AdoptionError(
                f"{path.name}: {inner} is not as this release knows it; save it with torch 2.8 or "
                "later"
            ) from error
        if pickled:
            raise AdoptionError(
                f"{path.name} holds pickled objects ({', '.join(pickled[:3])}), which are not "
                "opened; export the network with torch.onnx.export"
            )


def _exported(path: Path) -> _Read:
    import torch

    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/data/sample_inputs/" in name:  # torch would unpickle what this refuses
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    program = torch.export.load(path)
    given = list(program.graph_signature.user_inputs)
    nodes = {node.name: node for node in program.graph.nodes}
    shapes = [nodes[name].meta["val"].shape for name in given]
    shape = tuple(side if isinstance(side, int) else None for side in shapes[0]) if shapes else ()
    require_one_image(path, given, shape)
    module = program.module()
    source = _with_plain_sides(program, nodes[given[0]].meta["val"])
    return _Read(source, module, shape, _parameters(module))


def _with_plain_sides(program: Any, image: Any) -> Any:
    """The same program without sides that are multiples of others (8·h), which torch 2.15 cannot
    decompose once it has loaded them (findings/torch_export_forgets_multiples.sh)."""
    import torch

    free = [place for place, side in enumerate(image.shape) if not isinstance(side, int)]
    if all(image.shape[place].node.expr.is_symbol for place in free):
        return program
    example = torch.zeros([int(side) for side in image.shape], dtype=image.dtype)
    sides = dict.fromkeys(free, torch.export.Dim.AUTO)
    return torch.export.export(program.module(), (example,), dynamic_shapes=(sides,))


def _scripted(path: Path, options: AdoptOptions) -> _Read:
    """A TorchScript module. Its file says no shape: PyTorch's images are NCHW, and the first
    convolution takes their channels."""
    import torch

    module = torch.jit.load(path, map_location="cpu").eval()
    inputs = [one.debugName() for one in list(module.graph.inputs())[1:]]
    kernels = [p.shape for p in module.parameters() if p.ndim == 4]
    channels = options.channels or (kernels[0][1] if kernels else None)
    shape = (None, channels, *(options.size or (None, None)))
    require_one_image(path, inputs, shape)
    frozen = torch.jit.freeze(module)  # OpenVINO converts no loops whose lengths are attributes
    return _Read(frozen, frozen, shape, _parameters(module))


def _parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _outputs(module: Any, shape: tuple[int | None, ...]) -> tuple[list[str], Any]:
    """The outputs' names: the keys of a dict, else numbers; and what runs the module and gives one
    of them."""
    import torch
    from torch.utils import _pytree as pytree

    def answered(values: NDArray[np.generic]) -> list[tuple[str, Any]]:
        with torch.inference_mode():
            answer = module(torch.from_numpy(np.array(values)))
        if isinstance(answer, dict):
            return [(str(key), value) for key, value in answer.items()]
        leaves = pytree.tree_leaves(answer)
        return [(f"output{place}", leaf) for place, leaf in enumerate(leaves)]

    def run(values: NDArray[np.generic], output: int) -> NDArray[np.generic]:
        return np.asarray(answered(values)[output][1])

    return _names(answered, shape), run


def _names(
    answered: Callable[..., list[tuple[str, Any]]], shape: tuple[int | None, ...]
) -> list[str]:
    """The outputs' names, by the least of some sizes that the network takes."""
    fault = ""
    for tried in (64, 256, 512):
        size = [tried if side is None else side for side in shape[2:]]
        values = np.zeros((shape[0] or 1, shape[1] or 3, *size), np.float32)
        with contextlib.suppress(RuntimeError, ValueError, AssertionError, TypeError):
            return [name for name, _ in answered(values)]
        fault = "×".join(map(str, size))
    raise AdoptionError(f"the model does not run on a picture of {fault} pixels")
