"""A headless Chromium for tests of pages, spoken to over a pipe in its own protocol; it needs no package.

It is looked for under its usual names, or under the one in PGOLF_TEST_BROWSER.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = f"no headless browser: none of {', '.join(NAMES)} is here, and PGOLF_TEST_BROWSER names none"
FLAGS = ("--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
_PATIENCE_SECONDS = 120


def found() -> str | None:
    """The path of a browser."""
    named = os.environ.get("PGOLF_TEST_BROWSER")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Tab:
    """A page that has been loaded. ``errors``: of its console; ``requests``: every address it asked for."""

    browser: _Browser
    session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.send(method, self, **parameters)

    def load(self, page: Path, *, width: int = 1200, scheme: str = "light") -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.browser.loaded = False
        self.send("Page.navigate", url=page.as_uri())
        while not self.browser.loaded:
            self.browser.receive(self)

    def run(self, expression: str) -> Any:
        """What the expression is in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, out: Path) -> None:
        """The whole page as a png."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        out.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])


class _Browser:
    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._number, self._left = read, write, 0, b""
        self.loaded = False

    def send(self, method: str, tab: Tab | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": tab.session} if tab else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(tab)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def receive(self, tab: Tab | None) -> dict[str, Any]:
        """The next message; what a page tells of itself is kept in ``tab``."""
        while b"\0" not in self._left:
            more = os.read(self._read, 1 << 20)
            assert more, "the browser has ended"
            self._left += more
        raw, _, self._left = self._left.partition(b"\0")
        message = json.loads(raw)
        told = message.get("params", {})
        if tab is not None:
            match message.get("method"):
                case "Network.requestWillBeSent":
                    tab.requests.append(told["request"]["url"])
                case "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled":
                    tab.errors.append(json.dumps(told))
                case "Page.loadEventFired":
                    self.loaded = True
        return message


@contextmanager
def tab() -> Iterator[Tab]:
    """An empty page in a browser of its own."""
    path = found()
    assert path, MISSING
    (their_read, write), (read, their_write) = os.pipe(), os.pipe()

    def lay_pipes() -> None:
        """Chromium reads from 3 and writes to 4; both may be taken by the other."""
        from_here, to_here = os.dup(their_read), os.dup(their_write)
        os.dup2(from_here, 3)
        os.dup2(to_here, 4)

    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [path, *FLAGS, *as_root, f"--user-data-dir={home}", "about:blank"],
            close_fds=False,
            preexec_fn=lay_pipes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_read)
        os.close(their_write)
        browser = _Browser(read, write)
        try:
            target = browser.send("Target.createTarget", url="about:blank")["targetId"]
            session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            made = Tab(browser, session)
            for domain in ("Page", "Runtime", "Log", "Network"):
                made.send(f"{domain}.enable")
            yield made
            browser.send("Browser.close")
        finally:
            os.close(write)
            os.close(read)
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
