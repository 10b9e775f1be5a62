"""
A headless Chromium, driven over the pipe of its DevTools protocol: JSON messages
that end in NUL, to its descriptor 3 and from its descriptor 4.

Chromium takes no credentials for a proxy on its command line; C{Fetch} asks
for them in the place of the window that a user would see.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from certificates import Issued
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from proxyprocess import DEADLINE, environment

Message = dict[str, Any]

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--no-first-run",
    # Nothing but the page is to be fetched.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--metrics-recording-only",
    "--remote-debugging-pipe",
]


def _trusting(issued: Issued) -> str:
    """The flag by which this one certificate is trusted, and no other."""
    key = issued.x509.public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = b64encode(sha256(octets).digest()).decode()
    return f"--ignore-certificate-errors-spki-list={digest}"


class Browser:
    """
    One page of a running Chromium.

    @ivar challenges: what proxies have asked for, as C{Fetch} tells it.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer = b""
        self._messages: deque[Message] = deque()
        self._last = 0
        self._session: str | None = None
        self._credentials: tuple[str, str] | None = None
        self.challenges: list[Message] = []

    def open(self, credentials: tuple[str, str] | None) -> None:
        """Make the page, and say what its user would type when asked."""
        self._credentials = credentials
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")
        self._call("Fetch.enable", handleAuthRequests=True)

    def load(self, url: str) -> str:
        """
        Load a page.

        @return: its text, or Chromium's name for what went wrong.
        """
        navigated = self._call("Page.navigate", url=url)
        if "errorText" in navigated:
            return str(navigated["errorText"])
        self._event("Page.loadEventFired")
        script = "document.body.innerText"
        evaluated = self._call("Runtime.evaluate", expression=script)
        return str(evaluated["result"]["value"])

    def close(self) -> None:
        """Let it end by itself."""
        self._session = None
        self._post("Browser.close")

    def _call(self, method: str, **parameters: Any) -> Any:
        number = self._post(method, **parameters)
        for message in self._heard():
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
        raise AssertionError("unreachable")

    def _event(self, method: str) -> None:
        next(each for each in self._heard() if each.get("method") == method)

    def _heard(self) -> Iterator[Message]:
        """Every message, what a request waits for answered on the way."""
        while True:
            message = self._next()
            given = message.get("params", {})
            if message.get("method") == "Fetch.requestPaused":
                self._post("Fetch.continueRequest", requestId=given["requestId"])
            elif message.get("method") == "Fetch.authRequired":
                self._answer(given)
            yield message

    def _answer(self, asked: Message) -> None:
        self.challenges.append(asked["authChallenge"])
        answer = {"response": "CancelAuth"}
        # Those that were refused once are not sent again.
        if self._credentials is not None and len(self.challenges) == 1:
            user, password = self._credentials
            answer = {
                "response": "ProvideCredentials",
                "username": user,
                "password": password,
            }
        self._post(
            "Fetch.continueWithAuth",
            requestId=asked["requestId"],
            authChallengeResponse=answer,
        )

    def _post(self, method: str, **parameters: Any) -> int:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        return self._last

    def _next(self) -> Message:
        end = time.monotonic() + DEADLINE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select(
                [self._receive], [], [], max(0, end - time.monotonic())
            )
            assert ready, "Chromium says nothing"
            data = os.read(self._receive, 65536)
            assert data, "Chromium is gone"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))


def _pipe() -> tuple[int, int]:
    """With numbers that are not in the way of 3 and 4."""
    read, write = os.pipe()
    moved = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (read, write)]
    os.close(read)
    os.close(write)
    return moved[0], moved[1]


@contextlib.contextmanager
def chromium(
    program: str,
    proxy: str,
    issued: Issued,
    directory: Path,
    credentials: tuple[str, str] | None = None,
) -> Iterator[Browser]:
    """
    A browser that reaches everything through C{proxy}, loopback too.

    @param issued: the one certificate that it trusts.
    @param credentials: the user and the password for the proxy.
    """
    toRead, toWrite = _pipe()
    fromRead, fromWrite = _pipe()
    script = f'exec "$@" 3</dev/fd/{toRead} 4>/dev/fd/{fromWrite}'
    flags = [
        *_FLAGS,
        f"--user-data-dir={directory / 'profile'}",
        f"--proxy-server=http://{proxy}",
        "--proxy-bypass-list=<-loopback>",
        _trusting(issued),
    ]
    with open(directory / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", program, *flags],
            cwd=directory,
            env=environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(toRead, fromWrite),
        )
    os.close(toRead)
    os.close(fromWrite)
    try:
        browser = Browser(toWrite, fromRead)
        browser.open(credentials)
        yield browser
        browser.close()
        process.wait(DEADLINE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(toWrite)
        os.close(fromRead)
