"""/labelstudio over real HTTP: what Label Studio sends and reads, its pictures fetched from a small
server that stands in for it. `tests/clients/labelstudio` has the real one."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest

from models.data.layouts.labelstudio_brush import decode_brush
from service.protocols.keys import format_line
from tests.service.serving import TIMEOUT_SECONDS, ServerThread, picture, png_bytes, serving
from tests.solvable import solve

HEIGHT, WIDTH = 12, 16
TOKEN = "0123456789abcdef"
IMAGE = picture(HEIGHT, WIDTH)
CLASSES = ("red", "green", "blue")


class Site(BaseHTTPRequestHandler):
    """A picture at /data/upload/1/a.png for those with the token, and traps."""

    server: ThreadingHTTPServer
    seen: ClassVar[list[tuple[str, str, str | None]]] = []  # port, path, token
    other: ClassVar[str] = ""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        port = str(self.server.server_port)
        self.seen.append((port, self.path, token))
        if self.path.startswith("/tasks/7/presign/") or self.path == "/away":
            self.answer(302, b"", Location=f"{self.other}/free.png")
        elif self.path == "/loop":
            self.answer(302, b"", Location="/loop")
        elif self.path == "/large":
            self.answer(200, b"x" * 400_000)
        elif self.path == "/free.png" or token == f"Token {TOKEN}":
            self.answer(200, png_bytes(IMAGE) if self.path.endswith(".png") else b"no picture")
        else:
            self.answer(401, b"")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def started() -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server, other = started(), started()
    Site.other = f"http://127.0.0.1:{other.server_port}"
    yield f"http://127.0.0.1:{server.server_port}"
    for one in (server, other):
        one.shutdown()
        one.server_close()


@pytest.fixture(scope="module")
def studio(
    store: Path, site: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(f"{TOKEN}\n")
    with serving(
        store,
        default_model="solvable",
        label_studio_url=site,
        label_studio_token_file=token,
        max_upload_bytes=300_000,
    ) as running:
        yield running


def config(labels: str = "", tag: str = "BrushLabels") -> str:
    labels = labels or "".join(f'<Label value="{name.title()}"/>' for name in CLASSES)
    return (
        f'<View><Image name="picture" value="$image"/><{tag} name="tag" toName="picture">{labels}'
        f"</{tag}></View>"
    )


def ask(
    server: ServerThread, *images: str, prefix: str = "/labelstudio", **more: Any
) -> httpx.Response:
    body = {
        "tasks": [{"id": 7, "data": {"image": image}} for image in images],
        "project": "1.17",
        "label_config": config(),
        "params": {"login": None, "password": None, "context": None},
        **more,
    }
    return server.client.post(f"{prefix}/predict", json=body)


def class_map_of(prediction: dict[str, Any]) -> np.ndarray[Any, Any]:
    class_map = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for region in prediction["result"]:
        (label,) = region["value"]["brushlabels"]
        mask = decode_brush(region["value"]["rle"], (WIDTH, HEIGHT))
        class_map[mask] = CLASSES.index(label.lower())
    return class_map


UPLOADED = "/data/upload/1/a.png"
INLINE = "data:image/png;base64," + base64.b64encode(png_bytes(IMAGE)).decode()


@pytest.mark.parametrize("image", [UPLOADED, "upload/1/a.png", INLINE, "/tasks/x/a.png"])
def test_a_prediction_has_the_class_of_every_pixel(studio: ServerThread, image: str) -> None:
    answer = ask(studio, image)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["results"]
    assert prediction["model_version"] == "solvable/1"
    assert 0 < prediction["score"] <= 1
    assert {region["to_name"] for region in prediction["result"]} == {"picture"}
    assert np.array_equal(class_map_of(prediction), solve(IMAGE))


def test_setup_says_the_version_that_predictions_have(studio: ServerThread) -> None:
    for prefix in ("/labelstudio", "/labelstudio/solvable", "/labelstudio/solvable/1"):
        health = studio.client.get(f"{prefix}/health")
        assert health.json() == {"status": "UP", "model_version": "solvable/1"}
        setup = {"project": "1.17", "schema": config(), "hostname": "http://x", "access_token": "t"}
        answer = studio.client.post(f"{prefix}/setup", json=setup)
        assert answer.json() == {"model_version": "solvable/1"}
        assert studio.client.get(f"{prefix}/versions").json() == {"versions": ["solvable/1"]}
        (prediction,) = ask(studio, INLINE, prefix=prefix).json()["results"]
        assert prediction["model_version"] == "solvable/1"


def test_what_setup_sends_is_not_where_pictures_come_from(studio: ServerThread) -> None:
    studio.client.post(
        "/labelstudio/setup", json={"hostname": Site.other, "access_token": "stolen"}
    )
    Site.seen.clear()
    assert ask(studio, UPLOADED).status_code == 200
    assert [token for _, _, token in Site.seen] == [f"Token {TOKEN}"]


def test_labels_stand_for_the_classes_that_they_predict(studio: ServerThread) -> None:
    labels = '<Label value="Warm" predicted_values="red, green"/><Label value="BLUE"/>'
    (prediction,) = ask(studio, INLINE, label_config=config(labels)).json()["results"]
    masks = {
        region["value"]["brushlabels"][0]: decode_brush(region["value"]["rle"], (WIDTH, HEIGHT))
        for region in prediction["result"]
    }
    assert np.array_equal(masks["Warm"], solve(IMAGE) < 2)
    assert np.array_equal(masks["BLUE"], solve(IMAGE) == 2)


@pytest.mark.parametrize("tag", ["PolygonLabels", "RectangleLabels", "BitmaskLabels"])
def test_other_controls_are_drawn_with(studio: ServerThread, tag: str) -> None:
    (prediction,) = ask(studio, INLINE, label_config=config(tag=tag)).json()["results"]
    assert {region["type"] for region in prediction["result"]} <= {tag.lower()}


def test_hosts_that_are_not_allowed_are_not_asked(studio: ServerThread) -> None:
    Site.seen.clear()
    for image, said in (
        (f"{Site.other}/free.png", "is not allowed"),
        ("http://169.254.169.254/latest/meta-data/a.png", "is not allowed"),
        ("file:///etc/passwd", "names its picture by"),
        ("//elsewhere/a.png", "names its picture by"),
        ("http://user@127.0.0.1/a.png", "has a user name"),
        ("ftp://127.0.0.1/a.png", "names its picture by"),
    ):
        answer = ask(studio, image)
        assert answer.status_code == 424, image
        assert answer.json()["status"] == 424
        assert said in answer.json()["detail"]
    assert Site.seen == []


def test_a_redirect_is_followed_to_allowed_hosts_alone(studio: ServerThread, site: str) -> None:
    Site.seen.clear()
    for image in (f"{site}/away", "s3://bucket/a.png"):
        assert "is not allowed" in ask(studio, image).json()["detail"]
    assert {port for port, _, _ in Site.seen} == {site.rsplit(":", 1)[1]}
    assert "more than" in ask(studio, f"{site}/loop").json()["detail"]


def test_the_token_goes_to_its_own_host_alone(store: Path, site: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with serving(
        store,
        label_studio_url=site,
        label_studio_token_file=token,
        label_studio_image_hosts=(Site.other,),
    ) as server:
        Site.seen.clear()
        for image in (f"{Site.other}/free.png", "s3://bucket/a.png"):
            assert ask(server, image, prefix="/labelstudio/solvable").status_code == 200
    others = {token for port, _, token in Site.seen if port == Site.other.rsplit(":", 1)[1]}
    assert others == {None}


def test_a_file_larger_than_uploads_may_be_is_not_taken(studio: ServerThread, site: str) -> None:
    answer = ask(studio, f"{site}/large")
    assert "more bytes than the limit of 300000" in answer.json()["detail"]


def test_a_task_that_cannot_be_done_leaves_the_others_their_predictions(
    studio: ServerThread,
) -> None:
    answer = ask(studio, UPLOADED, "/data/upload/1/a.txt", "ftp://x/y.png", INLINE)
    first, second, third, fourth = answer.json()["results"]
    assert second == third == []
    assert first["result"] == fourth["result"]
    none = ask(studio, "ftp://x/y.png", "ftp://x/z.png")
    assert none.status_code == 424
    alone = ask(studio, "/data/upload/1/a.txt")
    assert alone.status_code == 415
    assert alone.json()["detail"]


def test_no_tasks_are_no_predictions(studio: ServerThread) -> None:
    assert ask(studio).json() == {"results": []}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tasks": 3}, "tasks takes a list"),
        ({"tasks": [3]}, "tasks takes a list"),
        ({"tasks": [{"id": 1, "data": {"other": "x"}}]}, "data['image']"),
        ({"label_config": None}, "not XML"),
        ({"label_config": "<View>"}, "not XML"),
        ({"label_config": "<!DOCTYPE v><View/>"}, "DOCTYPE"),
        ({"label_config": "<View/>"}, "has no BrushLabels"),
        ({"label_config": config('<Label value="moon"/>')}, "(moon) is a class of the model"),
        ({"label_config": config().replace('name="picture"', 'name="p"')}, "not an Image"),
    ],
)
def test_what_cannot_be_predicted_is_a_sentence(
    studio: ServerThread, changed: dict[str, Any], said: str
) -> None:
    answer = ask(studio, INLINE, **changed)
    assert answer.status_code in (400, 424)
    assert said in answer.json()["detail"]


def test_setup_tells_of_labels_that_the_model_does_not_know(studio: ServerThread) -> None:
    schema = config('<Label value="moon"/>')
    answer = studio.client.post("/labelstudio/setup", json={"schema": schema})
    assert answer.status_code == 400
    assert "predicted_values" in answer.json()["detail"]


def test_a_webhook_is_taken_note_of(studio: ServerThread) -> None:
    for body in ({"action": "START_TRAINING", "project": {}}, {"action": "x"}, {}):
        answer = studio.client.post("/labelstudio/webhook", json=body)
        assert answer.json() == {"status": "ignored"}


def test_unknown_models_and_broken_json_are_refused(studio: ServerThread) -> None:
    assert studio.client.get("/labelstudio/other/health").status_code == 404
    assert studio.client.post("/labelstudio/setup", content=b"{").status_code == 400
    deep = b"[" * 100_000
    assert studio.client.post("/labelstudio/predict", content=deep).status_code == 400


def test_without_an_address_only_pictures_in_the_request_are_done(server: ServerThread) -> None:
    answer = ask(server, UPLOADED)
    assert "SEGSERVE_LABEL_STUDIO_URL" in answer.json()["detail"]
    assert ask(server, INLINE).status_code == 200


def test_an_api_key_is_the_password_of_basic_authentication(store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(format_line("studio", "secret") + "\n")
    with serving(store, api_keys_file=keys) as server:
        url = "/labelstudio/solvable/health"
        assert server.client.get(url).status_code == 401
        assert server.client.get(url, auth=("any", "wrong")).status_code == 401
        broken = {"Authorization": "Basic %%%"}
        assert server.client.get(url, headers=broken).status_code == 401
        assert server.client.get(url, auth=("any", "secret")).status_code == 200
        bearer = {"Authorization": "Bearer secret"}
        assert server.client.get(url, headers=bearer).status_code == 200


def test_a_host_that_says_nothing_holds_nobody_beyond_the_deadline(store: Path) -> None:
    with serving(store, label_studio_url="http://127.0.0.1:1") as server:
        prefix = "/labelstudio/solvable"
        assert "cannot be fetched" in ask(server, UPLOADED, prefix=prefix).json()["detail"]
    silent = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=silent.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{silent.server_port}"
    with serving(store, label_studio_url=url, request_timeout_seconds=1) as server:
        answer = ask(server, UPLOADED, prefix=prefix)
        assert answer.status_code == 424
    Silent.may_end.set()
    silent.shutdown()
    silent.server_close()


class Silent(BaseHTTPRequestHandler):
    may_end = threading.Event()

    def do_GET(self) -> None:
        self.may_end.wait(TIMEOUT_SECONDS)

    def log_message(self, *_: Any) -> None: ...
