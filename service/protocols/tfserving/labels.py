"""Labels of versions, which clients of TensorFlow Serving write in place of a number."""

from service.protocols.context import AppContext
from service.protocols.model_names import find
from service.protocols.problems import MalformedRequestError


def version_of(parts: AppContext, name: str, label: str) -> str:
    """The number of the version of `name` that has the label.

    Raises UnknownModelError, ModelUnavailableError, and MalformedRequestError where `name` has no
    such label.
    """
    model = find(parts, name).state.name
    labels = {
        known: version for (of, known), version in parts.version_labels.items() if of == model
    }
    if label in labels:
        return labels[label]
    there_are = f"it has {', '.join(sorted(labels))}" if labels else "it has none"
    raise MalformedRequestError(
        f"{model} has no label {label[:40]!r}: {there_are}, see SEGSERVE_VERSION_LABELS. Leave it "
        "out for the newest version, or name one by its number."
    )
