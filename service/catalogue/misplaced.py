"""Whether a folder without models is one level beside the store that was meant."""

from pathlib import Path

from models.contract import CONTRACT_PATH

_MARKS = (CONTRACT_PATH, Path("saved_model.pb"))


def store_meant_by(folder: Path) -> str | None:
    """A sentence where `folder` is a model or a version of one, or holds a store; None where it is neither."""
    folder = folder.resolve()
    try:
        if _is_version(folder):
            return f"{folder} is a version of a model; did you mean {folder.parents[1]}?"
        versions = sorted(path.name for path in _folders(folder) if _is_version(path))
        if versions:
            named = ", ".join(versions)
            return f"{folder} is one model, with {named} in it; did you mean {folder.parent}?"
        for inside in sorted(_folders(folder)):
            if any(_is_version(path) for model in _folders(inside) for path in _folders(model)):
                return f"The models lie in {inside}; did you mean that?"
    except OSError:
        return None
    return None


def _is_version(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _MARKS)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]
