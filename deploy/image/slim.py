"""Take out of the installed packages what neither service nor trainer uses, and say the gain.

Runs once, while the image is built: python slim.py [PACKAGES]. What is left is compiled, for the
image may be read-only when it runs, and into files that hold no times: the same packages give the
same image.
"""

import compileall
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from py_compile import PycInvalidationMode

# They build packages. libclang is asked for by TensorFlow's wheel and used by nothing in it.
UNUSED_DISTRIBUTIONS = (
    "editables",
    "hatchling",
    "libclang",
    "pathspec",
    "pip",
    "pluggy",
    "setuptools",
    "tomlkit",
    "trove-classifiers",
    "wheel",
)
# These two alone: auditwheel rewrites other wheels' libraries, and strip breaks some of those.
STRIPPED = ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2")


def remove_unused_distributions(packages: Path) -> None:
    for name in UNUSED_DISTRIBUTIONS:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        for path in set(_paths_of(found, packages)):
            _remove(path)


def _paths_of(found: Distribution, packages: Path) -> Iterator[Path]:
    """The topmost folders and files of a distribution that lie in `packages`, and its commands."""
    for file in found.files or ():
        if file.parts[0] == "..":
            yield Path(str(found.locate_file(file)))
        else:
            yield packages / file.parts[0]


def remove_headers(packages: Path) -> None:
    for folder in ("tensorflow/include", "tensorflow/xla_aot_runtime_src", "numpy/_core/include"):
        _remove(packages / folder)
    for headers in packages.glob("nvidia/*/include"):
        _remove(headers)


def remove_tests(packages: Path) -> None:
    for folder in [path for path in packages.rglob("tests") if path.is_dir()]:
        _remove(folder)


def remove_stubs(packages: Path) -> None:
    for file in [*packages.rglob("*.pyi")]:
        _remove(file)


def strip_symbols(packages: Path) -> None:
    for name in STRIPPED:
        if (packages / name).is_file():
            subprocess.run(["strip", "--strip-unneeded", packages / name], check=True)


def compile_sources(packages: Path) -> None:
    compileall.compile_dir(
        packages,
        quiet=2,  # packages carry templates that are no Python
        force=True,
        workers=0,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


STEPS: dict[str, Callable[[Path], None]] = {
    "build tools and libclang": remove_unused_distributions,
    "C++ headers": remove_headers,
    "tests": remove_tests,
    "type stubs": remove_stubs,
    "symbols of TensorFlow's libraries": strip_symbols,
    "compiled Python": compile_sources,
}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main() -> int:
    packages = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("purelib"))
    before = _size_bytes(packages)
    print(f"{'packages as installed':36} {before / 1e6:8.1f} MB")
    for title, step in STEPS.items():
        step(packages)
        after = _size_bytes(packages)
        print(f"{title:36} {(after - before) / 1e6:+8.1f} MB")
        before = after
    print(f"{'packages in the image':36} {before / 1e6:8.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
