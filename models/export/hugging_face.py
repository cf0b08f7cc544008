"""What a Hugging Face folder says of the ONNX file in it: classes by `id2label` of config.json, the
form of its pixels by preprocessor_config.json. What can be read in two ways has to be said."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.export.adopt_options import AdoptionError

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_NORMALIZATION = ("scaling", "mean", "std")
_MOST_BYTES = 16 * 2**20  # of a JSON file
_TASK = "SemanticSegmentation"


@dataclass(frozen=True)
class HuggingFaceModel:
    """`options` are fields of AdoptOptions, `scale` is as a recipe has it; None is not said."""

    file: Path
    classes: tuple[str, ...] | None
    options: Mapping[str, object]
    scale: str | None
    architecture: str | None


def is_hugging_face(path: Path) -> bool:
    """Whether `path` is such a folder, or an ONNX file of one."""
    return _folder(path) is not None


def read_hugging_face(path: Path, said: Collection[str]) -> HuggingFaceModel:
    """Read what the folder says, but what the user has said himself: `said` names fields of
    AdoptOptions, `classes` and `scale`. Raises AdoptionError."""
    folder = _folder(path)
    assert folder is not None  # the caller has asked
    config, steps = (_read(folder / name) for name in (CONFIG, PREPROCESSOR))
    architecture = _architecture(folder, config)
    options: dict[str, object] = {}
    if not set(said) & set(_NORMALIZATION):
        options |= _normalization(folder / PREPROCESSOR, steps)
    if steps.get("do_flip_channel_order"):
        options["channel_order"] = "bgr"
    multiple = steps.get("size_divisor") or steps.get("pad_size_divisor")
    if isinstance(multiple, int) and multiple > 0 and steps.get("do_pad", True):
        options["multiple"] = multiple
    return HuggingFaceModel(
        file=path if path.is_file() else _onnx_file(folder),
        classes=None if "classes" in said else _classes(folder / CONFIG, config),
        options={name: value for name, value in options.items() if name not in said},
        scale=None if {"scale", "size"} & set(said) else _scale(folder / PREPROCESSOR, steps),
        architecture=architecture,
    )


def _folder(path: Path) -> Path | None:
    if path.is_dir():
        candidates = [path]
    elif path.suffix.lower() == ".onnx":
        candidates = [path.parent, *([path.parent.parent] if path.parent.name == "onnx" else [])]
    else:
        return None
    return next(
        (f for f in candidates if (f / CONFIG).is_file() and (f / PREPROCESSOR).is_file()), None
    )


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        raise AdoptionError(f"{path} has more than 16 MB, and is no {path.name} of a model")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AdoptionError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AdoptionError(f"{path} holds no JSON object")
    return document


def _onnx_file(folder: Path) -> Path:
    files = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if not files:
        raise AdoptionError(
            f"{folder} holds no ONNX file; where its network can be run, `optimum-cli export onnx "
            f"--model {folder} {folder}/onnx` makes one"
        )
    if len(files) > 1:
        names = ", ".join(str(file.relative_to(folder)) for file in files)
        raise AdoptionError(
            f"{folder} holds {len(files)} ONNX files ({names}); name the one that is meant by its "
            "own path"
        )
    return files[0]


def _architecture(folder: Path, config: Mapping[str, Any]) -> str | None:
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str):
        return None
    if not name.endswith(_TASK):
        raise AdoptionError(
            f"{folder / CONFIG} is of a {name}; segtrain adopts networks of semantic segmentation, "
            f"whose names end in {_TASK}"
        )
    return name


def _classes(path: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    labels = config.get("id2label")
    if not isinstance(labels, dict) or not labels:
        raise AdoptionError(f"{path} has no id2label; say --classes")
    try:
        by_id = {int(key): str(name).strip() for key, name in labels.items()}
    except ValueError as error:
        raise AdoptionError(f"{path}: an id of id2label is no number; say --classes") from error
    if sorted(by_id) != list(range(len(labels))):
        raise AdoptionError(
            f"{path}: the ids of id2label are not 0, 1, … in order, one a channel; say --classes"
        )
    names = [by_id[n] for n in range(len(by_id))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AdoptionError(
            f"{path}: id2label has {', '.join(map(repr, twice))} more than once; say --classes"
        )
    return tuple(names)


def _normalization(path: Path, steps: Mapping[str, Any]) -> dict[str, object]:
    """Scaling, mean and std."""
    mean, std = _values(path, steps, "image_mean"), _values(path, steps, "image_std")
    kind = str(steps.get("image_processor_type") or steps.get("feature_extractor_type") or "")
    normalizes = steps.get("do_normalize", mean is not None or not kind.startswith("MobileViT"))
    if not normalizes:
        mean = std = None
    elif mean is None or std is None:
        raise AdoptionError(
            f"{path} normalizes and does not say by what image_mean and image_std; say --scaling, "
            "--mean and --std"
        )
    factor = steps.get("rescale_factor", 1 / 255) if steps.get("do_rescale", True) else 1.0
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor <= 1:
        raise AdoptionError(f"{path} has the rescale_factor {factor!r}; say --scaling")
    whole = 255 * factor  # what white becomes
    if mean is not None and (max(mean) > whole or 0 < max(mean) < whole / 50):
        raise AdoptionError(
            f"{path} can be read in two ways: it brings pixels to 0…{whole:g} and subtracts "
            f"{', '.join(f'{value:g}' for value in mean)}; say --scaling, --mean and --std"
        )
    if math.isclose(whole, 1.0, rel_tol=1e-3):
        options: dict[str, object] = {"scaling": "0..1", "mean": mean, "std": std}
    else:
        options = {
            "scaling": "none",
            "mean": mean and tuple(value / factor for value in mean),
            "std": tuple(value / factor for value in std or (1.0,)),
        }
    return {name: value for name, value in options.items() if value is not None}


def _values(path: Path, steps: Mapping[str, Any], name: str) -> tuple[float, ...] | None:
    said = steps.get(name)
    if said is None:
        return None
    values = said if isinstance(said, list) else [said]
    if not values or not all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    ):
        raise AdoptionError(f"{path}: {name} is {said!r}, which are no numbers; say --{name[6:]}")
    return tuple(map(float, values))


def _scale(path: Path, steps: Mapping[str, Any]) -> str:
    """The size at which the network knows its objects."""
    if not steps.get("do_resize", True):
        return "native"
    size = steps.get("size")
    kind = str(steps.get("image_processor_type") or steps.get("feature_extractor_type") or "")
    if isinstance(size, int) and not isinstance(size, bool) and kind.startswith("Segformer"):
        sides: list[object] = [size, size]
    elif isinstance(size, dict) and set(size) == {"height", "width"}:
        sides = [size["height"], size["width"]]
    else:
        sides = []
    whole = [side for side in sides if isinstance(side, int) and 16 <= side <= 65_536]
    if len(whole) != 2:
        raise AdoptionError(
            f"{path} resizes pictures to {json.dumps(size)}, which does not say how long their "
            "longer side becomes; say --scale longest=PIXELS, or native"
        )
    return f"longest={max(whole)}"
