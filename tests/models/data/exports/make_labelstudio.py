"""Makes labelstudio/ with a real Label Studio 1.23: python make_labelstudio.py URL TOKEN.

Needs label-studio-sdk 2.1 and a running server: pip install label-studio==1.23.2, then
LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true label-studio start --user-token TOKEN --username … .
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import requests
from label_studio_sdk.converter import brush
from PIL import Image

HERE = Path(__file__).parent / "labelstudio"
WIDTH, HEIGHT = 64, 48
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="tag" toName="image"><Label value="road"/><Label value="car"/></BrushLabels>
<PolygonLabels name="polygon" toName="image"><Label value="car"/></PolygonLabels>
<RectangleLabels name="box" toName="image"><Label value="tree"/></RectangleLabels>
<EllipseLabels name="ellipse" toName="image"><Label value="tree"/></EllipseLabels>
<KeyPointLabels name="point" toName="image"><Label value="car"/></KeyPointLabels>
<Brush name="brush" toName="image"/>
<Labels name="label" toName="image"><Label value="car"/></Labels>
<Choices name="light" toName="image"><Choice value="day"/></Choices></View>"""


def region(key, name, kind, value):
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": key, "from_name": name, "to_name": "image", "type": kind, "value": value, **size}


def rle(top, left, bottom, right):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 255
    return brush.mask2rle(mask)


def percent(x, y):
    return [100 * x / WIDTH, 100 * y / HEIGHT]


def main(url, token):
    session = requests.Session()
    session.headers["Authorization"] = f"Token {token}"

    def call(method, path, **more):
        answer = session.request(method, url + path, **more)
        assert answer.ok, (path, answer.status_code, answer.text)
        return answer

    project = call(
        "POST", "/api/projects", json={"title": "fixture", "label_config": CONFIG}
    ).json()["id"]
    HERE.mkdir(exist_ok=True)
    names = ["scene 1.png", "scène_2.png", "scene3.png", "scene4.png", "scene5.png"]
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels // 16 * 16).save(HERE / name, optimize=True)
        buffer = io.BytesIO((HERE / name).read_bytes())
        call("POST", f"/api/projects/{project}/import", files={"file": (name, buffer)})
    tasks = call("GET", f"/api/tasks?project={project}&fields=all").json()["tasks"]
    by_name = dict(zip(names, sorted(tasks, key=lambda task: task["id"]), strict=True))

    def annotate(name, *results, **more):
        body = {"result": list(results), **more}
        call("POST", f"/api/tasks/{by_name[name]['id']}/annotations/", json=body)

    def brushed(*place, **labels):
        return {"format": "rle", "rle": rle(*place), **labels}

    road = region("r", "tag", "brushlabels", brushed(24, 0, 48, 64, brushlabels=["road"]))
    corners = [percent(10, 8), percent(30, 8), percent(30, 28), percent(10, 28)]
    polygon = {"points": corners, "closed": True, "polygonlabels": ["car"]}
    car = region("c", "polygon", "polygonlabels", polygon)
    (x, y), (width, height) = percent(40, 4), percent(10, 20)
    box = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    tree = region("t", "box", "rectanglelabels", {**box, "rectanglelabels": ["tree"]})
    middle = {"x": 50, "y": 50}
    keypoint = {**middle, "width": 0.5, "keypointlabels": ["car"]}
    point = region("p", "point", "keypointlabels", keypoint)
    day = {"id": "d", "from_name": "light", "to_name": "image", "type": "choices"}
    annotate(names[0], road, car, tree, point, {**day, "value": {"choices": ["day"]}})
    radii = {"radiusX": 25, "radiusY": 25, "rotation": 0, "ellipselabels": ["tree"]}
    annotate(names[1], region("e", "ellipse", "ellipselabels", {**middle, **radii}))
    annotate(names[1], car, ground_truth=True)
    annotate(names[1], tree)
    corner = (0, 0, 10, 10)
    annotate(names[2], tree)
    annotate(
        names[2],
        region("b", "brush", "brush", brushed(*corner)),
        region("b", "label", "labels", brushed(*corner, labels=["car"])),
    )
    annotate(names[3], road, was_cancelled=True)
    # The fifth stays without an annotation.
    for kind in ("JSON", "JSON_MIN"):
        query = f"exportType={kind}&download_all_tasks=true"
        document = call("GET", f"/api/projects/{project}/export?{query}").json()
        # Not .json: both in one folder would be two exports of one project.
        path = HERE / f"{kind.lower()}.export"
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1))
    call("DELETE", f"/api/projects/{project}")


if __name__ == "__main__":
    main(*sys.argv[1:])
