"""The artefact of an external network: OpenVINO's files, the ONNX file, a contract with `io`."""

from pathlib import Path
from typing import Any

from models.contract import (
    MODEL_CARD_PATH,
    Contract,
    FrameScale,
    ModelIO,
    NativeScale,
    Scale,
    atomic,
    file_digests,
    onnx_path,
    openvino_path,
    write_contract,
)
from models.export.adopt_options import AdoptOptions
from models.export.artefact import Measure, ModelFacts, version_folder
from models.export.external_io import IOSpec, value_range
from models.export.portable.network import PortableNetwork


def write_portable(
    network: PortableNetwork,
    served: Any,
    io_spec: IOSpec,
    options: AdoptOptions,
    facts: ModelFacts,
    card: str,
    store: Path,
    version: int | None,
    measure: Measure | None = None,
    *,
    radius: int | None,
) -> Path:
    """Write `<store>/<name>/<version>` with `served`, the wrapped openvino.Model, or with the ONNX
    file alone where that is None, and give its path. `measure` completes contract and card. Raises
    ExportError, and whatever `measure` does."""
    target = version_folder(store, facts.name, version)
    with atomic.new_folder(target) as folder:
        if served is not None:
            _write_ir(served, folder / openvino_path("fp32"))
        if network.onnx is not None:
            (folder / onnx_path("fp32")).parent.mkdir(parents=True)
            (folder / onnx_path("fp32")).write_bytes(network.onnx)
        (folder / MODEL_CARD_PATH).parent.mkdir(exist_ok=True)
        (folder / MODEL_CARD_PATH).write_text(card)
        contract = Contract(
            name=facts.name,
            classes=facts.classes,
            background=facts.background,
            ignore=facts.ignore,
            channels=1 if io_spec.channels == 1 else 3,
            stride=io_spec.stride,
            receptive_field_radius=radius,  # None: tiles are blended
            architecture=facts.architecture,
            upsampling=facts.upsampling,
            parameters=network.parameters,
            scale=facts.scale or _own_scale(io_spec),
            intensity=facts.intensity,
            io=model_io(network, io_spec, options),
            overlap=facts.overlap,
            training=facts.training,
            files=file_digests(folder),
        )
        write_contract(folder, contract if measure is None else measure(folder, contract))
    return target


def _write_ir(served: Any, path: Path) -> None:
    import openvino

    path.parent.mkdir(parents=True)
    openvino.save_model(served, path, compress_to_fp16=False)


def _own_scale(io_spec: IOSpec) -> Scale:
    """A network of one size was most likely trained on whole pictures of that size."""
    if io_spec.size is None:
        return NativeScale()
    return FrameScale(long_side=max(16, *io_spec.size))


def model_io(network: PortableNetwork, io_spec: IOSpec, options: AdoptOptions) -> ModelIO:
    """What the network's own graph takes and gives."""
    return ModelIO.model_validate(
        {
            "layout": io_spec.axes,
            "channel_order": options.channel_order,
            "dtype": network.input_dtype,
            "range": value_range(options),
            "mean": options.mean,
            "std": options.std,
            "size": io_spec.size,
            "multiple": io_spec.stride,
            "least_side": io_spec.least,
            "batch_size": io_spec.batch_size,
            "output": io_spec.output,
            "output_layout": io_spec.output_axes,
            "threshold": options.threshold,
            "input_name": network.input_name,
            "output_name": network.output_name,
        }
    )
