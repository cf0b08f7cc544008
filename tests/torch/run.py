"""Networks of PyTorch's users adopted, served over HTTP and compared with torch: `make test-torch`.

torch has an environment of its own, made at the first run, which sees this one's packages too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import httpx
import numpy as np

from tests.service.serving import ServerProcess, class_map_of, png_bytes

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = HERE / ".venv"
# as networks.py
MULTIPLES = {"unet": 32, "deeplab": 32, "segformer": 32, "fcn": 1, "nnunet": 2, "pspnet": 8}
REQUIRED = 0.999  # of pixels
NORMALIZED = ["--scaling", "0..1", "--mean", "0.485", "0.456", "0.406"]
NORMALIZED += ["--std", "0.229", "0.224", "0.225"]


def prepare() -> Path:
    """The environment's Python. SEGSERVE_TORCH_PYTHON names one that has torch already."""
    if given := os.environ.get("SEGSERVE_TORCH_PYTHON"):
        return Path(given)
    python = ENVIRONMENT / "bin" / "python"
    requirements, installed = HERE / "requirements.txt", ENVIRONMENT / "requirements.txt"
    if not installed.is_file() or installed.read_bytes() != requirements.read_bytes():
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
        inner = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        (Path(inner) / "segserve.pth").write_text(sysconfig.get_path("purelib") + "\n")
        shutil.copy(requirements, installed)
    return python


def compare(python: Path, folder: Path) -> int:
    """Adopt each file where torch is, serve all of them, and give how many differ."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([python, HERE / "networks.py", folder], check=True, env=environment)
    names: dict[str, str] = json.loads((folder / "networks.json").read_text())
    store = folder / "store"
    for file, name in names.items():
        adopt = ["-m", "models.cli", "adopt", str(folder / file), "--yes", "--store", str(store)]
        flags = ["--name", file, "--classes", "a,b,c,d,e", *NORMALIZED]
        flags += ["--multiple", str(MULTIPLES[name])] if MULTIPLES[name] > 1 else []
        subprocess.run([str(python), *adopt, *flags], check=True, env=environment)
    failed = 0
    server = ServerProcess(["--model-store", str(store)], folder / "server.log")
    try:
        url = server.wait_until_ready()
        for file, name in names.items():
            for path in sorted(folder.glob(f"{name}-*.npy")):
                image = np.load(folder / f"picture-{path.stem.split('-')[1]}.npy")
                served = httpx.post(
                    f"{url}/segment?model={file}&scale=native",
                    content=png_bytes(image),
                    timeout=300,
                )
                expected = np.load(path)
                share = float(np.mean(class_map_of(served) == expected))
                failed += share < REQUIRED
                kinds = len(np.unique(expected))
                print(f"{file:20} {image.shape[1]}×{image.shape[0]}: {share:.3%}, {kinds} classes")
    finally:
        server.terminate()
        server.wait()
    return failed


def documented(python: Path, folder: Path) -> int:
    """The three commands of docs/adopt.md from a PyTorch script to a mask, as they stand there."""
    text = (ROOT / "docs" / "adopt.md").read_text()
    section = text[text.index("## From PyTorch") : text.index("## From Hugging Face")]
    script, adopt, curl = re.findall(r"```(?:python|sh)\n(.*?)```", section, re.DOTALL)[:3]
    own = "import sys\nsys.path.insert(0, sys.argv[1])\nimport networks\n"
    own += "network = networks.build('nnunet')\n"
    (folder / "export.py").write_text(own + script)
    shutil.copy(ROOT / "docs" / "images" / "street.jpg", folder / "photo.jpg")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(command: list[str] | str) -> None:
        shell = isinstance(command, str)
        subprocess.run(command, cwd=folder, check=True, env=environment, shell=shell)

    run([str(python), "export.py", str(HERE)])
    command = adopt.replace("segtrain", f"{sys.executable} -m models.cli")
    run(command.replace("road,car,tree,sky", "road,car,tree,sky,person"))
    server = ServerProcess(["--model-store", str(folder / "my_models")], folder / "docs.log")
    try:
        run(curl.replace("localhost:8000", server.wait_until_ready().removeprefix("http://")))
    finally:
        server.terminate()
        server.wait()
    mask = (folder / "mask.png").read_bytes()
    print(f"docs/adopt.md: a mask of {len(mask)} bytes")
    return mask[:4] != b"\x89PNG"


def main() -> None:
    python = prepare()
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "docs").mkdir()
        failed = compare(python, Path(work)) + documented(python, Path(work) / "docs")
    print("all agree" if not failed else f"{failed} DO NOT AGREE")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
