"""A headless Chromium through its DevTools protocol, with the standard library alone."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
_REPORTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


class Browser:
    """One browser with one page.

    ``complaints`` holds all that the page wrote to the console: errors, warnings, refusals of the security policy.
    """

    def __init__(self, profile, patience=120.0):
        self.patience, self.complaints, self._number = patience, [], 0
        argv = [CHROMIUM, "--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                "--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={profile}",
                "about:blank"]  # fmt: skip
        if os.geteuid() == 0:  # Chromium refuses its sandbox to root, containers of CI above all
            argv.insert(1, "--no-sandbox")
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._socket = self._connect(profile)
            for domain in ("Page", "Log", "Runtime"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _connect(self, profile):
        port_file, end = profile / "DevToolsActivePort", time.monotonic() + self.patience
        while not (port_file.exists() and port_file.read_text().count("\n")):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Chromium did not start (exit code {self._process.poll()})")
            time.sleep(0.05)
        port = int(port_file.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=self.patience) as answer:
            page = next(entry for entry in json.load(answer) if entry["type"] == "page")
        connection = socket.create_connection(("127.0.0.1", port), timeout=self.patience)
        path = page["webSocketDebuggerUrl"].partition(str(port))[2]
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert b" 101 " in head, head
        return connection

    def _read(self, size):
        content = b""
        while len(content) < size:
            part = self._socket.recv(size - len(content))
            if not part:
                raise RuntimeError("Chromium has closed the connection")
            content += part
        return content

    def _message(self):
        content = b""
        while True:
            head = self._read(2)
            size = head[1] & 127
            if size > 125:
                size = struct.unpack(">H" if size == 126 else ">Q", self._read(2 if size == 126 else 8))[0]
            content += self._read(size)
            if head[0] & 128:
                return json.loads(content)

    def call(self, method, **parameters):
        """One command; its result. What the page says meanwhile goes to ``complaints``."""
        self._number += 1
        content = json.dumps({"id": self._number, "method": method, "params": parameters}).encode()
        size, mask = len(content), os.urandom(4)
        length = bytes([128 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
        self._socket.sendall(b"\x81" + length + mask + masked)
        while True:
            message = self._message()
            if message.get("method") in _REPORTS:
                self.complaints.append(message)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, expression):
        """The value of a JavaScript expression; the page's own policy does not bind the debugger."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url, *, width=1280, dark=False):
        """Load a page and wait until it is complete."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="", features=scheme)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                  mobile=width < 600)  # fmt: skip
        self.call("Page.navigate", url=url)
        end = time.monotonic() + self.patience
        while self.evaluate("[document.readyState, location.href].join(' ')") != f"complete {url}":
            assert time.monotonic() < end, f"{url} did not load"
            time.sleep(0.02)

    def close(self):
        with contextlib.suppress(AttributeError, OSError):
            self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=self.patience)
