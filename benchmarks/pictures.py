"""The images that are sent: photographs of streets, as cameras and phones send them. Not a
benchmark itself."""

import io
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
CAMVID = ROOT.parent / "shared" / "data" / "camvid" / "images" / "test"
EXAMPLES = ROOT / "service" / "web" / "examples"
USUAL = (480, 360)
MIXED = ((320, 240), (360, 480), (480, 360), (512, 512), (640, 480))


def photographs(count: int, size: tuple[int, int] = USUAL) -> list[bytes]:
    """JPEG files of `size` (width, height): test photographs of CamVid where they are, else the
    page's examples."""
    files = sorted((CAMVID if CAMVID.is_dir() else EXAMPLES).glob("*.jpg"))
    step = max(1, len(files) // count)
    return [_sized(files[index * step % len(files)], size) for index in range(count)]


def source() -> str:
    """Which photographs they are, for the result."""
    return "CamVid test photographs" if CAMVID.is_dir() else "the example photographs of the page"


def _sized(file: Path, size: tuple[int, int]) -> bytes:
    with Image.open(file) as image:
        if image.size == size:
            return file.read_bytes()
        buffer = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()
