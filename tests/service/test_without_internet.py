"""The server loads its models, answers, and shows its page in a network namespace that has nothing
but a loopback.
"""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.service.serving import TIMEOUT_SECONDS, ServerProcess, picture, png_bytes

# A new namespace's loopback is down, and the kernel's own call for it is all there is without `ip`.
LOOPBACK_UP = """
import fcntl, socket, struct, sys
from tests.service.test_without_internet import serve_and_ask

with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", 0x49, b""))  # SIOCSIFFLAGS
try:
    socket.create_connection(("192.0.2.1", 443), 5)
except OSError as error:
    print("no way out:", error)
print(*serve_and_ask(sys.argv[1]), sep="\\n")
"""


def serve_and_ask(folder: str) -> list[str]:
    """Segment with each bundled model, and follow every address in the pages. A line an answer."""
    lines = []
    server = ServerProcess(
        ["--grpc-port", "0", "--shutdown-delay-seconds", "0"], Path(folder) / "log"
    )
    try:
        url = server.wait_until_ready()
        with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client:
            for model in ("street", "nuclei"):
                answer = client.post(f"/segment?model={model}", content=png_bytes(picture(64, 64)))
                lines.append(f"{model} {answer.status_code} {answer.headers['content-type']}")
            for page in ("/", "/docs"):
                text = client.get(page).text
                addresses = set(re.findall(r'(?:src|href)="([^"#]+)"', text))
                for address in sorted(addresses):
                    status = client.get(httpx.URL(page).join(address)).status_code
                    lines.append(f"{page} {address} {status}")
    finally:
        server.close()
    return lines


def test_it_serves_where_there_is_no_network(tmp_path: Path) -> None:
    apart = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody make a network namespace (unshare --net)")
    done = subprocess.run(
        [*apart, sys.executable, "-c", LOOPBACK_UP, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    way_out, *lines = done.stdout.splitlines()
    assert "unreachable" in way_out
    assert "street 200 image/png" in lines
    assert "nuclei 200 image/png" in lines
    followed = [line.split() for line in lines if line.startswith("/")]
    assert len(followed) > 4
    assert {status for _, _, status in followed} == {"200"}, followed
