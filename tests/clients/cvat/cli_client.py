"""`cvat-cli task auto-annotate` as docs/annotate.md has it, with the function that `segserve cvat`
writes. CVAT's server, which is many containers, is not here: the few answers that the command asks
of it are given by a stand-in, so that what is shown is the command, its loading of the function,
its own validation and what it would upload."""

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
from cvat_sdk.masks import decode_mask
from PIL import Image, ImageDraw

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
EXPECTED = np.load(FOLDER / "class_map.npy")
HEIGHT, WIDTH = EXPECTED.shape
LABELS = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"]  # some


class StandIn(BaseHTTPRequestHandler):
    """A task of one picture, whose labels are some of the model's."""

    uploads: ClassVar[list] = []

    def do_GET(self):
        path = self.path.split("?")[0].rstrip("/")
        if path.endswith("/data"):
            chunk = io.BytesIO()
            with zipfile.ZipFile(chunk, "w") as archive:
                archive.write(FOLDER / "image.png", "000000.png")
            self.reply(chunk.getvalue(), "application/zip")
        else:
            self.reply(json.dumps(ANSWERS[path]).encode())

    def do_PATCH(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.uploads.append((self.path, json.loads(body)))
        self.reply(json.dumps({"shapes": [], "tags": [], "tracks": [], "version": 0}).encode())

    def reply(self, body, media_type="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


LINK = {"count": 0, "url": ""}
ANSWERS = {
    "/api/server/about": {
        "name": "CVAT", "description": "", "version": "2.80.0", "logo_url": "", "subtitle": "",
    },
    "/api/tasks/12": {
        "id": 12, "name": "street", "jobs": {**LINK, "completed": 0, "validation": 0},
        "labels": LINK, "size": 1, "data_chunk_size": 1, "data_original_chunk_type": "imageset",
        "mode": "annotation", "organization": None, "organization_id": None, "project_id": None,
        "updated_date": "2026-01-01T00:00:00Z",
    },
    "/api/labels": {
        "count": len(LABELS), "next": None, "previous": None,
        "results": [
            {"id": 100 + n, "name": name, "type": "any", "attributes": [], "sublabels": []}
            for n, name in enumerate(LABELS)
        ],
    },
    "/api/tasks/12/data/meta": {
        "image_quality": 70, "deleted_frames": [], "chunks_updated_date": "2026-01-01T00:00:00Z",
        "size": 1, "start_frame": 0, "stop_frame": 0,
        "frames": [{"name": "image.png", "width": WIDTH, "height": HEIGHT, "related_files": 0}],
        "chunk_size": 1,
    },
}  # fmt: skip


def annotated(port, *more):
    """The shapes that the command uploads."""
    function = FOLDER / "segserve_cvat_cli.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [os.environ["SEGSERVE_PYTHON"], "-m", "service.cli", "cvat", "-o", function]
    subprocess.run(command, env=environment, check=True)
    program = Path(sys.executable).parent / "cvat-cli"
    line = [program, "--server-host", f"http://127.0.0.1:{port}", "task", "auto-annotate", "12"]
    line += ["--function-file", function, "-p", f"url=str:http://{HOST}", "-p", "model=str:street"]
    own = {"CVAT_ACCESS_TOKEN": "none", "XDG_CACHE_HOME": str(FOLDER / "cache"), "PYTHONPATH": ""}
    StandIn.uploads.clear()
    done = subprocess.run(
        [*line, "--allow-unmatched-labels", *more],
        env={**os.environ, **own}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ((path, body),) = StandIn.uploads
    assert path == "/api/tasks/12/annotations/?action=create", path
    return body["shapes"]


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wanted = np.where(len(LABELS) > EXPECTED, EXPECTED, 255)
    class_map = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for shape in annotated(server.server_port):
        assert (shape["type"], shape["frame"]) == ("mask", 0)
        mask = decode_mask(shape["points"], image_width=WIDTH, image_height=HEIGHT)
        class_map[mask] = shape["label_id"] - 100
    np.testing.assert_array_equal(class_map, wanted)
    canvas = Image.new("L", (WIDTH, HEIGHT), 255)
    polygons = annotated(server.server_port, "--conv-mask-to-poly")
    for shape in sorted(polygons, key=lambda one: -len(one["points"])):
        assert shape["type"] == "polygon"
        ImageDraw.Draw(canvas).polygon(shape["points"], fill=shape["label_id"] - 100)
    agree = (np.asarray(canvas) == wanted).mean()
    assert agree > 0.97, agree
    server.shutdown()
    print(f"cvat-cli: masks are equal, {len(polygons)} polygons agree in {agree:.1%} of pixels")


main()
