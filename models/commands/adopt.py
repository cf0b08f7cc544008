"""`segtrain adopt`: wrap a model of another trainer into an artefact that segserve serves."""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from models.commands.command import DEFAULT_STORE, for_shell, import_tensorflow, scale_text
from models.commands.fields import data_options
from models.export.adopt_options import (
    AdoptionError,
    AdoptOptions,
    AxisOrder,
    ChannelOrder,
    OutputKind,
    Scaling,
)

if TYPE_CHECKING:
    from models.data.dataset import ClassList
    from models.export.adopt import Wrapper
    from models.export.artefact import Measure, ModelFacts
    from models.export.hugging_face import HuggingFaceModel

HELP = "wrap a model of another trainer (ONNX, PyTorch, LiteRT, Keras, …) to serve it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # argparse takes what begins with - for a flag, but for numbers; "-1..1" is one in its way,
    # and only this attribute says so.
    parser._negative_number_matcher = re.compile(r"^-\d")  # noqa: SLF001
    parser.add_argument(
        "model",
        type=Path,
        help="an .onnx file, OpenVINO's .xml, a .tflite file, a Hugging Face folder with an ONNX "
        "file, a SavedModel folder, or a .keras or .h5 file",
    )
    parser.add_argument("--name", required=True, help="the model's name in URLs")
    parser.add_argument(
        "--classes",
        help='a classes.json, or names in the order of the channels: a,"b, c",d (default: those of '
        "a Hugging Face folder)",
    )
    parser.add_argument(
        "--images", type=Path, nargs="+", default=[], help="files or folders to show it on"
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="a data set of its classes, on whose val its probabilities are calibrated",
    )
    parser.add_argument(
        "--preview", type=Path, help="the HTML page of that (default: <name>-preview.html here)"
    )
    parser.add_argument("--yes", action="store_true", help="write without asking")
    parser.add_argument(
        "--force",
        action="store_true",
        help="write it although its own runtime gives other classes than what will be served, or "
        "its pooling looks as if it were of one size",
    )
    parser.add_argument(
        "--store",
        type=Path,
        default=DEFAULT_STORE,
        help=f"folder that segserve serves (default: {DEFAULT_STORE})",
    )
    parser.add_argument("--version", type=int, help="default: one more than the newest")
    parser.add_argument(
        "--architecture", help="its architecture, for the contract (default: not known)"
    )
    parser.add_argument(
        "--scale",
        type=scale_text,
        help="the size at which it knows its objects: native, longest=480 where a larger picture "
        "shows the same scene with more pixels, or the side of a pixel, such as 0.5µm (default: "
        "native; of an ONNX, IR or LiteRT file that takes one size alone, that size)",
    )
    model = parser.add_argument_group("the model", "what is not said is found out, or asked for")
    flags = {
        "scaling": {"choices": get_args(Scaling)},
        "mean": {"type": float, "nargs": "+"},
        "std": {"type": float, "nargs": "+"},
        "channel_order": {"choices": get_args(ChannelOrder)},
        "axes": {"choices": get_args(AxisOrder)},
        "channels": {"type": int, "choices": (1, 3)},
        "multiple": {"type": int, "metavar": "PIXELS"},
        "size": {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")},
        "output": {"choices": get_args(OutputKind)},
        "threshold": {"type": float},
        "priority": {"metavar": "CLASSES"},
        "runtime": {"choices": ("openvino", "onnx")},
        "output_name": {},
        "signature": {},
        "receptive_field_radius": {"type": int, "metavar": "PIXELS"},
    }
    for name, field in AdoptOptions.model_fields.items():
        flag = "--" + name.replace("_", "-")
        model.add_argument(flag, help=field.description, **flags[name])  # type: ignore[arg-type]


def run(parsed: argparse.Namespace) -> None:
    """Wrap the model, show what it makes of the images, and write it where that is confirmed."""
    from models.export.adopt import (
        adopted_card,
        adopted_facts,
        list_images,
        overlapping,
        write_preview,
    )

    found = _said_beside_it(parsed)
    model = found.file if found else parsed.model
    options = _options(parsed, found.options if found else {})
    class_list, overlap = overlapping(
        _class_list(parsed.classes, found), options.priority, options.threshold
    )
    architecture = parsed.architecture or (found and found.architecture) or "not known"
    scale = parsed.scale or (found and found.scale) or "auto"
    facts = adopted_facts(parsed.name, class_list, architecture, scale, overlap)
    files = list_images(parsed.images)
    wrapped = _wrapper(model)(model, options, facts, files, force=parsed.force)
    print("\n".join(wrapped.notes))
    if files:
        preview = parsed.preview or Path(f"{parsed.name}-preview.html")
        shares = write_preview(preview, wrapped, class_list.classes, files)
        for segmentation_class, share in zip(class_list.classes, shares, strict=True):
            print(f"  {segmentation_class.name:20} {share:.2%} of the pixels")
        print(f"preview: {preview}")
    elif not parsed.yes:
        print("no --images were given, so that nothing can be shown")
    if not parsed.yes and not _confirmed(f"Write {parsed.store / parsed.name}?"):
        raise AdoptionError(
            "nothing was written; say --yes, or answer y, where the predictions look right"
        )
    card = adopted_card(parsed.name, model.name, class_list, wrapped)
    measure = _measure(parsed.data, facts) if parsed.data else None
    artefact = wrapped.write(card, parsed.store, parsed.version, measure)
    print(f"{artefact}\nNext: segserve serve --model-store {for_shell(parsed.store)}")


def _measure(folder: Path, facts: "ModelFacts") -> "Measure":
    """What calibrates on a data set of the model's own classes. Raises RecipeError and
    DatasetError."""
    import_tensorflow()
    from models.commands.evaluate import require_same_task
    from models.data.examination import examine
    from models.data.reading import read_dataset
    from models.export.confidence import FITTED_SPLIT, measure_on

    dataset = read_dataset(folder, *data_options({})).with_intensity(facts.intensity)
    require_same_task([c.name for c in facts.classes], None, dataset)
    examine(dataset, (FITTED_SPLIT,)).raise_on_error()
    return measure_on(dataset)


def _said_beside_it(parsed: argparse.Namespace) -> "HuggingFaceModel | None":
    """What a Hugging Face folder says of its model, beside what the flags do."""
    from models.export.hugging_face import is_hugging_face, read_hugging_face

    if not is_hugging_face(parsed.model):
        return None
    fields = ("classes", "scale", *AdoptOptions.model_fields)
    return read_hugging_face(
        parsed.model, [name for name in fields if getattr(parsed, name) is not None]
    )


def _class_list(said: str | None, found: "HuggingFaceModel | None") -> "ClassList":
    from models.export.adopt import list_classes, parse_classes

    if said is not None:
        return parse_classes(said)
    if found is None or found.classes is None:
        raise AdoptionError("nothing says what classes its channels are; say --classes")
    return list_classes(found.classes, f"id2label of {found.file.name}")


def _wrapper(path: Path) -> "Wrapper":
    """What wraps the model of a file; TensorFlow is imported for its own alone."""
    from models.export.portable.reading import is_portable

    if is_portable(path):
        from models.export.portable.adoption import wrap_portable

        return wrap_portable
    import_tensorflow()
    from models.export.tensorflow_adoption import wrap_by_tensorflow

    return wrap_by_tensorflow


def _options(parsed: argparse.Namespace, found: Mapping[str, object]) -> AdoptOptions:
    from pydantic import ValidationError

    from models.contract.faults import first_fault

    said = dict(found) | {
        name: tuple(value) if isinstance(value, list) else value
        for name in AdoptOptions.model_fields
        if (value := getattr(parsed, name)) is not None
    }
    try:
        return AdoptOptions.model_validate(said)
    except ValidationError as error:
        fault = first_fault(error)
        flag = fault.place.replace(".", "-").replace("_", "-")
        raise AdoptionError(f"--{flag}: {fault.message}" if flag else fault.message) from error


def _confirmed(question: str) -> bool:
    """Ask at a terminal; elsewhere nobody can answer."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
