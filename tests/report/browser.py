"""Chromium, driven through ChromeDriver's WebDriver protocol: a page as a reader has it."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

_FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
--disable-background-networking --disable-component-update --disable-sync
--disable-dev-shm-usage --force-color-profile=srgb""".split()  # noqa: SIM905 - as one types them


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Browser:
    """One window. Close it: `with Browser() as browser`."""

    def __init__(self) -> None:
        self.shown: tuple[Path, str] | None = None
        """The page that is open, and what for; None: it may have been changed."""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._driver.stdout is not None
        lines = iter(self._driver.stdout.readline, b"")
        port = next(
            found[1] for line in lines if (found := re.search(rb"successfully on port (\d+)", line))
        )
        self._url = f"http://127.0.0.1:{port.decode()}/session"
        options = {
            "binary": shutil.which("chromium"),
            "args": [*_FLAGS, f"--user-data-dir={self._profile.name}"],
        }
        capabilities = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._post("", {"capabilities": {"alwaysMatch": capabilities}})
        self._url += f"/{session['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._request("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.communicate()
            self._profile.cleanup()

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show a page in a window of that size; forget what earlier pages have logged."""
        self.shown = None
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.log("browser")
        self.log("performance")
        self._post("/url", {"url": page.resolve().as_uri()})
        self.run_async(
            "const done = arguments[0];"
            "const look = () => document.querySelector('main')?.hidden ? setTimeout(look, 20)"
            " : requestAnimationFrame(() => requestAnimationFrame(done)); look()"
        )

    def show(self, page: Path, use: str) -> None:
        """Open a page, unless it is open for that use already: drawing it takes half a second."""
        if self.shown != (page, use):
            self.open(page)
            self.shown = page, use

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns, run in the page."""
        return self._post("/execute/sync", {"script": script, "args": arguments})

    def run_async(self, script: str, *arguments: Any) -> Any:
        """Return what a script gives to the function that is its last argument."""
        return self._post("/execute/async", {"script": script, "args": arguments})

    def picture(self) -> bytes:
        """Return the window as a PNG."""
        return base64.b64decode(self._request("GET", "/screenshot"))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return what has been logged since the last look: "browser" or "performance"."""
        return self._post("/se/log", {"type": kind})

    def requests(self) -> list[str]:
        """Return the addresses that the page was let ask for since it was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        requests = [event["params"] for event in events if event["method"].startswith("Network.")]
        refused = {event["requestId"] for event in requests if event.get("blockedReason") == "csp"}
        return [
            event["request"]["url"]
            for event in requests
            if "request" in event and event["requestId"] not in refused
        ]

    def command(self, name: str, **parameters: Any) -> Any:
        """Return what a command of Chromium's own protocol answers."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._request("POST", path, json.dumps(body).encode())

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url + path, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"]) from None


UNDER_POINTER = """
const picture = document.querySelector(arguments[0]);
const box = picture.getBoundingClientRect();
const at = (name, share) => {
  const clientX = box.left + share * box.width;
  picture.dispatchEvent(new PointerEvent(name, { clientX, clientY: box.top + box.height / 2 }));
  const tip = document.getElementById("tip");
  const line = picture.querySelector("line.zero[visibility]");
  return [tip.hidden ? "" : tip.textContent, line.getAttribute("visibility")];
};
return [at("pointermove", 0.5), at("pointerleave", 0.5)];
"""
"""What a chart tells in its middle, and when the pointer has left it; takes a selector."""
