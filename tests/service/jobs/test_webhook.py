"""Whoever asked for it is told that a job has ended, over real HTTP."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.domain.errors import InvalidOptionError
from service.jobs.webhook import check_webhook, origin_of
from service.settings import SettingError, Settings
from tests.service.jobs.test_jobs import BODY, PNG, serving
from tests.service.protocols.test_problems import assert_problem
from tests.service.serving import wait_until

SECRET = bytes(range(32))
WHSEC = "whsec_" + base64.b64encode(SECRET).decode()


@dataclass
class Receiver:
    """Notes what it is told; answers with the next of `statuses`, the last one again and again."""

    statuses: list[int]
    told: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def serve(self) -> http.server.ThreadingHTTPServer:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.told.append(({k.lower(): v for k, v in self.headers.items()}, body))
                left = receiver.statuses
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    """It refuses, leads elsewhere, and then takes what it is told."""
    receiver = Receiver([503, 307, 204])
    with receiver.serve() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield receiver, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(WHSEC + "\n")
    return file


def test_the_end_of_a_job_is_told_until_it_is_taken(
    openvino_store: Path, tmp_path: Path, receiver: tuple[Receiver, str], secret_file: Path
) -> None:
    listener, origin = receiver
    with serving(
        openvino_store,
        job_folder=tmp_path / "jobs",
        job_webhook_origins=(origin,),
        job_webhook_secret_file=secret_file,
    ) as server:
        jobs = server.parts.jobs
        assert jobs is not None
        jobs.webhooks.retry_seconds = [0.0] * 5
        query = {"webhook": f"{origin}/hook?token=1"}
        made = server.client.post("/jobs", params=query, content=BODY, headers=PNG)
        url = made.headers["Location"]
        wait_until(lambda: len(listener.told) == 3, "three tries")
        elsewhere = {"webhook": "http://169.254.169.254/latest"}
        refused = server.client.post("/jobs", params=elsewhere, content=BODY, headers=PNG)
        assert "SEGSERVE_JOB_WEBHOOK_ORIGINS" in assert_problem(refused, "invalid-option")
    for headers, body in listener.told:
        told = json.loads(body)
        assert told["type"] == "job.done"
        assert told["data"]["url"] == url
        assert headers["webhook-id"] == f"msg_{told['data']['id']}"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.org.evil.example/",
        "http://app.example.org/",
        "https://app.example.org:8443/",
        "https://app.example.org@evil.example/",
        "https://user@app.example.org/",
        "ftp://app.example.org/",
        "app.example.org",
        "https://app.example.org/" + 3000 * "a",
        "https://app.example.org:99999/",
        "https://app.example.org/done?job=a b",  # as no request can be sent to
        "https://app.example.org/\r\nX-Other: 1",
        "https://app.example.org/geschäft",
    ],
)
def test_no_other_server_is_told(url: str) -> None:
    with pytest.raises(InvalidOptionError, match="webhook"):
        check_webhook(url, frozenset({origin_of("https://app.example.org")}))


def test_a_secret_is_asked_for_and_checked(openvino_store: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "model_store": openvino_store,
        "job_folder": tmp_path / "jobs",
        "job_webhook_origins": ("https://app.example.org",),
    }
    with pytest.raises(SettingError, match="SECRET_FILE"):
        create_app(Settings(**settings))
    file = tmp_path / "secret"
    for text in ("whsec_%", "whsec_" + base64.b64encode(bytes(8)).decode()):
        file.write_text(text)
        with pytest.raises(SettingError, match="secret"):
            create_app(Settings(**settings, job_webhook_secret_file=file))
