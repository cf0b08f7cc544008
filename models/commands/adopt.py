"""`segtrain adopt`: wrap a model of another trainer into an artefact that segserve serves."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from models.commands.command import DEFAULT_STORE, for_shell, import_tensorflow, scale_text
from models.export.adopt_options import (
    AdoptionError,
    AdoptOptions,
    AxisOrder,
    ChannelOrder,
    OutputKind,
    Scaling,
)

if TYPE_CHECKING:
    from models.export.adopt import Wrapper

HELP = "wrap a model of another trainer (ONNX, OpenVINO IR, SavedModel, Keras) to serve it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # argparse takes what begins with - for a flag, but for numbers; "-1..1" is one in its way,
    # and only this attribute says so.
    parser._negative_number_matcher = re.compile(r"^-\d")  # noqa: SLF001
    parser.add_argument(
        "model",
        type=Path,
        help="an .onnx file, OpenVINO's .xml, a SavedModel folder, or a .keras or .h5 file",
    )
    parser.add_argument("--name", required=True, help="the model's name in URLs")
    parser.add_argument(
        "--classes",
        required=True,
        help='a classes.json, or names in the order of the channels: a,"b, c",d',
    )
    parser.add_argument(
        "--images", type=Path, nargs="+", default=[], help="files or folders to show it on"
    )
    parser.add_argument(
        "--preview", type=Path, help="the HTML page of that (default: <name>-preview.html here)"
    )
    parser.add_argument("--yes", action="store_true", help="write without asking")
    parser.add_argument(
        "--force",
        action="store_true",
        help="write it although its own runtime gives other classes than what will be served",
    )
    parser.add_argument(
        "--store",
        type=Path,
        default=DEFAULT_STORE,
        help=f"folder that segserve serves (default: {DEFAULT_STORE})",
    )
    parser.add_argument("--version", type=int, help="default: one more than the newest")
    parser.add_argument(
        "--architecture", default="not known", help="its architecture, for the contract"
    )
    parser.add_argument(
        "--scale",
        type=scale_text,
        default="auto",
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
        "size": {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")},
        "output": {"choices": get_args(OutputKind)},
        "threshold": {"type": float},
        "output_name": {},
        "signature": {},
        "receptive_field_radius": {"type": int, "metavar": "PIXELS"},
    }
    for name, field in AdoptOptions.model_fields.items():
        flag = "--" + name.replace("_", "-")
        model.add_argument(flag, help=field.description, **flags[name])  # type: ignore[arg-type]


def run(parsed: argparse.Namespace) -> None:
    """Wrap the model, show what it makes of the images, and write it where that is confirmed."""
    options = _options(parsed)

    from models.export.adopt import (
        adopted_card,
        adopted_facts,
        list_images,
        parse_classes,
        write_preview,
    )

    class_list = parse_classes(parsed.classes)
    facts = adopted_facts(parsed.name, class_list, parsed.architecture, parsed.scale)
    files = list_images(parsed.images)
    wrap = _wrapper(parsed.model)
    wrapped = wrap(parsed.model, options, facts, files, force=parsed.force)
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
    card = adopted_card(parsed.name, parsed.model.name, class_list, wrapped)
    artefact = wrapped.write(card, parsed.store, parsed.version)
    print(f"{artefact}\nNext: segserve serve --model-store {for_shell(parsed.store)}")


def _wrapper(path: Path) -> "Wrapper":
    """What wraps the model of a file; TensorFlow is imported for its own alone."""
    from models.export.portable.reading import is_portable

    if is_portable(path):
        from models.export.portable.adoption import wrap_portable

        return wrap_portable
    import_tensorflow()
    from models.export.tensorflow_adoption import wrap_by_tensorflow

    return wrap_by_tensorflow


def _options(parsed: argparse.Namespace) -> AdoptOptions:
    from pydantic import ValidationError

    from models.contract.faults import first_fault

    said = {
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
