"""What a person does at the page, and what the page did meanwhile."""

import base64
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Download, FilePayload, Page, expect

PATIENCE_MILLISECONDS = 300_000
expect.set_options(timeout=PATIENCE_MILLISECONDS)

_DROP = """([name, type, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const event = EVENT;
    document.body.dispatchEvent(event);
}"""
_DROP_EVENT = "new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })"
_PASTE_EVENT = "new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })"
_TWO_FRAMES = (
    "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
)


@dataclass
class Visit:
    """One page in a browser of its own state."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def begin(cls, browser: Browser, url: str, **context_options: Any) -> Iterator["Visit"]:
        """At its end there must be no error that the test has not taken from `errors`, and no
        request elsewhere.
        """
        options = {"viewport": {"width": 1280, "height": 800}, **context_options}
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        visit = cls(context.new_page(), url)
        context.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on(
            "console",
            lambda message: visit.errors.append(message.text) if message.type == "error" else None,
        )
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        try:
            yield visit
        finally:
            context.close()
        assert not visit.errors, visit.errors
        assert not visit.requests_elsewhere(), visit.requests_elsewhere()

    def requests_elsewhere(self) -> list[str]:
        here = urlsplit(self.url).netloc
        return [
            address
            for address in self.requests
            if urlsplit(address).scheme not in ("blob", "data") and urlsplit(address).netloc != here
        ]

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def drop(self, body: bytes, name: str = "photo.png", type: str = "image/png") -> None:
        self._bring(_DROP_EVENT, body, name, type)

    def paste(self, body: bytes, name: str = "image.png", type: str = "image/png") -> None:
        self._bring(_PASTE_EVENT, body, name, type)

    def choose(self, *files: tuple[str, bytes]) -> None:
        """Choose files of these names and bytes, all of them PNG."""
        payloads = [
            FilePayload(name=name, mimeType="image/png", buffer=body) for name, body in files
        ]
        self.page.locator("#file").set_input_files(payloads)

    def _bring(self, event: str, body: bytes, name: str, type: str) -> None:
        script = _DROP.replace("EVENT", event)
        self.page.evaluate(script, [name, type, base64.b64encode(body).decode()])

    def wait_for_classes(self) -> None:
        expect(self.page.locator("#time")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
        expect(self.page.locator("#viewer")).to_have_attribute("aria-busy", "false")
        self.wait_for_drawing()

    def wait_for_drawing(self) -> None:
        self.page.evaluate(_TWO_FRAMES)

    def set_opacity(self, percent: int) -> None:
        self.page.locator("#opacity").fill(str(percent))

    def choose_format(self, label: str) -> None:
        self.page.locator("#formats").get_by_text(label, exact=True).click()

    def download(self) -> tuple[str, bytes]:
        """Click Download: the file's name and bytes."""
        with self.page.expect_download() as pending:
            self.page.locator("#download").click()
        file: Download = pending.value
        return file.suggested_filename, file.path().read_bytes()

    def legend(self) -> dict[str, float]:
        """The percentage of each class in the legend, in its order."""
        rows = self.page.locator("#legend button")
        names = rows.locator(".name").all_text_contents()
        percents = rows.locator(".share").all_text_contents()
        return {
            name: float(percent.removesuffix(" %"))
            for name, percent in zip(names, percents, strict=True)
        }

    def seen(self, height: int, width: int) -> NDArray[np.uint8]:
        """What a person sees (height, width, 3) in the middle of each pixel of a picture of that
        size, fitted.
        """
        expect(self.page.locator("#viewer")).to_have_attribute("aria-busy", "false")
        self.wait_for_drawing()
        shot = Image.open(io.BytesIO(self.page.locator("#viewer").screenshot()))
        pixels = np.asarray(shot.convert("RGB"))
        scale = min(shot.height / height, shot.width / width)
        top, left = (shot.height - height * scale) / 2, (shot.width - width * scale) / 2
        rows = (top + (np.arange(height) + 0.5) * scale).astype(int)
        columns = (left + (np.arange(width) + 0.5) * scale).astype(int)
        chosen: NDArray[np.uint8] = pixels[np.ix_(rows, columns)]
        return chosen

    def place_of(self, x: float, y: float, height: int, width: int) -> dict[str, float]:
        """Where in the viewer a point of a fitted picture is, for `hover(position=…)`."""
        box = self.page.locator("#viewer").bounding_box()
        assert box is not None
        scale = min(box["height"] / height, box["width"] / width)
        return {
            "x": (box["width"] - width * scale) / 2 + x * scale,
            "y": (box["height"] - height * scale) / 2 + y * scale,
        }
