"""A real Label Studio that asks segserve for predictions: the way of docs/annotate.md, from an
empty project to a network that is trained on its export.

Started with HOST and FOLDER as every client; LABEL_STUDIO_PORT is the port that the server was
told, FOLDER/token the file that it reads Label Studio's token from, SEGSERVE_PYTHON runs
`segtrain`.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import requests
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

HOST, FOLDER = sys.argv[1], Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.clients.projects import pictures as photographs
from tests.clients.projects import predicted, require_same

PAGE = Path(__file__).parents[3] / "docs" / "annotate.md"
PORT = os.environ["LABEL_STUDIO_PORT"]
STUDIO = f"http://127.0.0.1:{PORT}"
USER = ("a@example.org", "secret-word")
LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"  # of this server alone, for its SDK
WAIT_SECONDS = 300
CONFIG = re.search(r"```xml\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
PICTURES = 20


@contextlib.contextmanager
def label_studio():
    """A server with a data base of its own."""
    work = FOLDER / "label-studio"
    work.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if "LABEL_STUDIO" not in name},
        "LABEL_STUDIO_BASE_DATA_DIR": str(work),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    program = Path(sys.executable).parent / "label-studio"
    user = ["--username", USER[0], "--password", USER[1], "--user-token"]
    command = [program, "start", "--no-browser", "--port", PORT, *user, LEGACY_TOKEN]
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)
        try:
            give_up = time.monotonic() + WAIT_SECONDS
            while True:
                with contextlib.suppress(requests.ConnectionError):
                    if requests.get(f"{STUDIO}/health", timeout=10).ok:
                        break
                assert process.poll() is None, (work / "log").read_text()[-2000:]
                assert time.monotonic() < give_up, "Label Studio did not start"
                time.sleep(1)
            yield
        finally:
            process.terminate()
            process.wait()


def call(method, path, **more):
    headers = {"Authorization": f"Token {LEGACY_TOKEN}"}
    answer = requests.request(method, STUDIO + path, headers=headers, timeout=120, **more)
    assert answer.ok, (path, answer.status_code, answer.text[:500])
    return answer.json() if answer.content else None


def pictures():
    """Pieces of the photograph of a street, which differ."""
    folder = FOLDER / "my_project"
    folder.mkdir()
    photograph = Image.open(FOLDER / "image.png").convert("RGB")
    for number in range(PICTURES):
        left, top = 9 * (number % 5), 7 * (number // 5)
        box = (left, top, photograph.width - 60, photograph.height - 60)
        photograph.crop(box).save(folder / f"street {number:02}.png")
    return sorted(folder.iterdir())


def new_project(files, config=CONFIG):
    project = call("POST", "/api/projects", json={"title": "street", "label_config": config})["id"]
    for file in files:
        content = io.BytesIO(file.read_bytes())
        call("POST", f"/api/projects/{project}/import", files={"file": (file.name, content)})
    body = {"project": project, "url": f"http://{HOST}/labelstudio", "title": "segserve"}
    backend = call("POST", "/api/ml", json=body)
    assert backend["readable_state"] == "Connected", backend
    assert backend["model_version"] == "street/1"
    return project


def predict(project):
    chosen = {"selectedItems": {"all": True, "excluded": []}}
    action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
    call("POST", action, json=chosen)
    return call("GET", f"/api/tasks?project={project}&fields=all&page_size=100")["tasks"]


def native(file):
    """The class map that POST /segment gives, and the names of its classes."""
    url = f"http://{HOST}/segment?model=street"
    answer = requests.post(url, data=file.read_bytes(), timeout=60)
    answer.raise_for_status()
    versions = requests.get(f"http://{HOST}/models/street", timeout=60).json()["versions"]
    names = [one["name"] for one in versions[0]["contract"]["classes"]]
    return np.array(Image.open(io.BytesIO(answer.content))), names


def check_brushes(tasks, files):
    """The SDK finds every prediction right, and decodes it to what POST /segment says."""
    interface = LabelInterface(CONFIG)
    by_name = {file.name.replace(" ", "_"): file for file in files}
    for task in tasks:
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "street/1"
        interface.validate_prediction(prediction)
        name = task["data"]["image"].rsplit("/", 1)[-1].partition("-")[2]
        class_map, names = native(by_name[name])
        for region in prediction["result"]:
            value = region["value"]
            shape = region["original_height"], region["original_width"], 4
            mask = brush.decode_rle(value["rle"]).reshape(shape)[..., 3] > 0
            label = value["brushlabels"][0].lower()
            expected = class_map == names.index("car" if label == "vehicle" else label)
            assert np.array_equal(mask, expected), (name, value["brushlabels"])


def correct(project, tasks):
    """A person paints on the first tasks in a browser, the next is cancelled, and the rest are
    taken as they are; gives the strokes."""
    settings = {"show_collab_predictions": True, "model_version": "segserve"}
    call("PATCH", f"/api/projects/{project}", json=settings)
    program = [os.environ["SEGSERVE_PYTHON"], "-m", "tests.clients.labelstudio.browser"]
    command = [*program, STUDIO, *USER, str(project), FOLDER / "screenshots"]
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    strokes = [json.loads(line) for line in done.stdout.splitlines()]
    assert strokes
    painted = {int(stroke["task"]) for stroke in strokes}
    cancelled, *others = [task for task in tasks if task["id"] not in painted]
    body = {"result": cancelled["predictions"][0]["result"], "was_cancelled": True}
    call("POST", f"/api/tasks/{cancelled['id']}/annotations/", json=body)
    chosen = {"all": False, "included": [task["id"] for task in others]}
    action = f"/api/dm/actions?id=predictions_to_annotations&project={project}"
    call("POST", action, json={"selectedItems": chosen})
    return strokes


def require_strokes(strokes, tasks):
    """segtrain reads what was painted, on top of what was predicted."""
    names = {task["id"]: task["data"]["image"].partition("-")[2] for task in tasks}
    known = {file.name.replace(" ", "_"): file.name for file in (FOLDER / "my_project").iterdir()}
    named = [{**stroke, "image": known[names[int(stroke["task"])]]} for stroke in strokes]
    script = Path(__file__).with_name("strokes.py")
    command = [os.environ["SEGSERVE_PYTHON"], script, FOLDER / "my_project", json.dumps(named)]
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
    subprocess.run(command, env=environment, check=True)
    print(f"labelstudio: {len(named)} strokes of a browser's brush are in the class maps")


def lines_of_page():
    """The `segtrain` lines of the page, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("segtrain ")]


def train():
    quick = ["--epochs", "1", "--network.width", "2", "--augmentation.crop", "[32, 32]"]
    for line in lines_of_page():
        more = quick if line[0] == "train" else []
        command = [os.environ["SEGSERVE_PYTHON"], "-m", "models.cli", *line, *more]
        environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout[-2000:], done.stderr[-2000:])
        print("  segtrain", *line)


def import_files(shapes):
    """What `segserve predict` writes: imported, made annotations, exported, read by segtrain."""
    written = predicted(FOLDER, "labelstudio", f"shapes={shapes}")
    config = (written / "labelstudio.xml").read_text()
    interface = LabelInterface(config)
    for task in json.loads((written / "labelstudio.json").read_text()):
        interface.validate_prediction(task["predictions"][0])
    body = {"title": shapes, "label_config": config}
    project = call("POST", "/api/projects", json=body)["id"]
    content = io.BytesIO((written / "labelstudio.json").read_bytes())
    call("POST", f"/api/projects/{project}/import", files={"file": ("tasks.json", content)})
    action = f"/api/dm/actions?id=predictions_to_annotations&project={project}"
    call("POST", action, json={"selectedItems": {"all": True, "excluded": []}})
    export = FOLDER / f"labelstudio-{shapes}"
    shutil.copytree(photographs(FOLDER), export)
    tasks = call("GET", f"/api/projects/{project}/export?exportType=JSON")
    (export / "project.json").write_text(json.dumps(tasks))
    require_same(export, FOLDER)
    print(f"labelstudio: a folder's file is imported and exported again ({shapes})")


def main():
    with label_studio():
        for shapes in ("brush", "bitmask", "polygon"):
            import_files(shapes)
        # A personal access token, as a person makes one in the account's settings.
        (FOLDER / "token").write_text(call("POST", "/api/token/", json={})["token"])
        files = pictures()
        project = new_project(files)
        tasks = predict(project)
        assert len(tasks) == PICTURES
        check_brushes(tasks, files)
        print(f"labelstudio: {len(tasks)} tasks have brushes equal to the native answer")
        for tag in ("PolygonLabels", "RectangleLabels", "BitmaskLabels"):
            config = CONFIG.replace("BrushLabels", tag)
            (task,) = predict(new_project(files[:1], config))
            (prediction,) = task["predictions"]
            assert prediction["result"], tag
            LabelInterface(config).validate_prediction(prediction)
        print("labelstudio: polygons, rectangles and bitmasks pass the SDK's validation")
        strokes = correct(project, tasks)
        query = "exportType=JSON&download_all_tasks=true"
        export = call("GET", f"/api/projects/{project}/export?{query}")
        (FOLDER / "my_project" / "project-1.json").write_text(json.dumps(export))
        assert len(export) == PICTURES
        require_strokes(strokes, tasks)
        train()
        print("labelstudio: the export is checked and trained on")


main()
