"""What the clients of annotation tools share: pictures, what `segserve predict` makes of them for a
tool, and segtrain's reading of what the tool gives back. Run in the tools' own environments, so of
the standard library alone.
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> None:
    """A module or a script by the project's own Python."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [os.environ["SEGSERVE_PYTHON"], *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout if "read_back" in str(arguments[0]) else "", end="")
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])


def pictures(folder: Path) -> Path:
    """Pieces of the photograph of a street in two folders."""
    script = (
        "import sys; from pathlib import Path; from PIL import Image\n"
        "image = Image.open(sys.argv[1] + '/image.png').convert('RGB'); out = Path(sys.argv[2])\n"
        "for number in range(4):\n"
        "    path = out / ('north' if number > 1 else '') / f'street {number}.png'\n"
        "    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "    image.crop((9 * number, 7 * number, image.width - 60, image.height - 60)).save(path)\n"
    )
    photos = folder / "photos"
    if not photos.is_dir():
        run("-c", script, folder, photos)
    return photos


def predicted(folder: Path, tool: str, *parameters: str) -> Path:
    """The project that `segserve predict` makes for a tool."""
    out = folder / "-".join(["project", tool, *parameters]).replace("=", "-").replace("/", "")
    more = [word for parameter in parameters for word in ("-p", parameter)]
    photos = pictures(folder)
    run("-m", "service.cli", "predict", "-m", "street", photos, "-o", out, "-f", tool, *more)
    return out


def require_same(export: Path, folder: Path, share: float = 1.0) -> None:
    """segtrain reads `export` as the class maps of the pictures, in `share` of all pixels."""
    run(ROOT / "tests/clients/read_back.py", export, pictures(folder), share)
