"""A project's labeling configuration: what draws on its pictures, and with which labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args
from xml.etree import ElementTree

from service.outputs.labelstudio import Control, Kind
from service.protocols.problems import MalformedRequestError

MAX_CONFIG_CHARACTERS: Final = 2**20
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_TAGS: Final = "BrushLabels, BitmaskLabels, PolygonLabels or RectangleLabels"


@dataclass(frozen=True)
class Project:
    """What a configuration says: the control to draw with, and the member of a task's data that
    names its picture."""

    control: Control
    image_key: str


def read_config(text: object, class_names: Sequence[str]) -> Project:
    """The first control of a configuration with a label that is a class of a model.

    A label stands for the classes in its `predicted_values`; else for the one of its name, then of
    its name in whatever case. Raises MalformedRequestError.
    """
    root = _parsed(text)
    images = {tag.get("name", ""): tag.get("value", "") for tag in _tags(root, "image")}
    controls = list(_controls(root))
    if not controls:
        raise MalformedRequestError(
            f"The labeling configuration has no {_TAGS}; predictions are drawn with one of these."
        )
    for kind, tag in controls:
        labels = _labels(tag, class_names)
        to_name = tag.get("toName", "")
        if not labels:
            continue
        if not images.get(to_name, "").startswith("$"):
            raise MalformedRequestError(
                f"{tag.tag} {tag.get('name', '')[:80]!r} draws on {to_name[:80]!r}, which is not "
                'an Image with value="$…"; tasks of one picture each are predicted.'
            )
        return Project(Control(kind, tag.get("name", ""), to_name, labels), images[to_name][1:])
    asked = dict.fromkeys(value for _, tag in controls for value in _values(tag))
    raise MalformedRequestError(
        f"No label of the configuration ({', '.join(list(asked)[:20])[:300]}) is a class of the "
        f"model: {', '.join(class_names)[:600]}. Name one so, or write predicted_values at a Label."
    )


def _parsed(text: object) -> ElementTree.Element:
    if not isinstance(text, str) or len(text) > MAX_CONFIG_CHARACTERS or "<!DOCTYPE" in text:
        raise MalformedRequestError(
            "The labeling configuration is not XML of at most "
            f"{MAX_CONFIG_CHARACTERS} characters without a DOCTYPE."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:  # an encoding may be declared
        raise MalformedRequestError(f"The labeling configuration is not XML: {error}.") from None


def _tags(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (tag for tag in root.iter() if str(tag.tag).lower() == name)


def _controls(root: ElementTree.Element) -> Iterator[tuple[Kind, ElementTree.Element]]:
    for tag in root.iter():
        kind = next((kind for kind in _KINDS if kind == str(tag.tag).lower()), None)
        if kind is not None:
            yield kind, tag


def _values(tag: ElementTree.Element) -> list[str]:
    return [label.get("value", "") for label in _tags(tag, "label")]


def _labels(tag: ElementTree.Element, class_names: Sequence[str]) -> Mapping[str, frozenset[int]]:
    """The class ids of each label that has some. A class goes to the first label that asks for
    it."""
    ids = {name: index for index, name in enumerate(class_names)}
    folded = {name.casefold(): index for name, index in ids.items()}
    taken: set[int] = set()
    labels = {}
    for label in _tags(tag, "label"):
        value = label.get("value", "")
        predicted = label.get("predicted_values")
        names = [value] if predicted is None else [name.strip() for name in predicted.split(",")]
        found = (ids.get(name, folded.get(name.casefold())) for name in names)
        own = frozenset(index for index in found if index is not None) - taken
        if own:
            taken |= own
            labels[label.get("alias") or value] = own
    return labels
