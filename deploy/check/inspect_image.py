"""Print what the service's image has and should not: python inspect_image.py, in the image."""

import importlib.util
import shutil
import sys

MODULES = (
    *("pip", "setuptools", "hatchling", "pytest", "tomli_w"),
    *(
        "models.cli",
        "models.commands",
        "models.training",
        "models.architectures",
        "models.data",
        "models.export",
    ),
)
COMMANDS = ("gcc", "cc", "make", "strip", "curl", "git", "segtrain")


def main() -> int:
    found = [name for name in MODULES if _importable(name)]
    found += [name for name in COMMANDS if shutil.which(name) is not None]
    print("\n".join(found) or "nothing that only building, testing or training needs")
    return 1 if found else 0


def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    sys.exit(main())
