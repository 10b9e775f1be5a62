"""
Real clients, each as one function: fetch the page through the proxy.

A function gets an L{Ask} and gives an L{Answer}: the page, or what the user
of that client is shown instead.  Only public interfaces of the clients are
used, in the way that their own documentation teaches.  A client library is
imported by its function alone, so that a missing one fails its own tests.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import attrs
from proxyprocess import DEADLINE, environment


@attrs.frozen
class Answer:
    """
    What came of it.

    @ivar page: what was fetched, or L{None}.
    @ivar said: what the user is shown.
    """

    page: str | None
    said: str = ""


@attrs.frozen
class Ask:
    """
    What to fetch, and how.

    @ivar proxy: C{host:port}.
    @ivar host: where the site is, and C{port}.
    @ivar speaker: a port at the same place that says the page at once, for
        clients that speak no TLS.
    @ivar certificate: of the authority to trust.
    @ivar directory: an empty one.
    @ivar user: and C{password}, for the proxy.
    @ivar challenged: send them only when the proxy asks.
    """

    proxy: str
    host: str
    port: int
    speaker: int
    certificate: Path
    directory: Path
    user: str | None = None
    password: str = ""
    challenged: bool = False

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}/page.txt"

    @property
    def proxyURL(self) -> str:
        """With the credentials, where there are any."""
        if self.user is None:
            return f"http://{self.proxy}"
        return f"http://{quote(self.user)}:{quote(self.password)}@{self.proxy}"

    @property
    def credentials(self) -> str:
        return f"{self.user}:{self.password}"

    def trust(self) -> ssl.SSLContext:
        """For libraries that take a context."""
        return ssl.create_default_context(cafile=str(self.certificate))


def run(
    ask: Ask, arguments: Sequence[str], typed: bytes = b"", **also: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a program that ends by itself."""
    return subprocess.run(
        arguments,
        cwd=ask.directory,
        env={**environment(ask.directory), **also},
        input=typed,
        capture_output=True,
        timeout=DEADLINE,
    )


def answered(done: subprocess.CompletedProcess[bytes], page: bytes | None) -> Answer:
    """The page when the program is content, else what it says."""
    if done.returncode == 0 and page is not None:
        return Answer(page.decode())
    return Answer(None, (done.stderr + done.stdout).decode())


def curl(ask: Ask) -> Answer:
    arguments = ["curl", "-sS", "-x", f"http://{ask.proxy}"]
    arguments += ["--cacert", str(ask.certificate)]
    if ask.user is not None:
        arguments += ["-U", ask.credentials]
    if ask.challenged:
        arguments += ["--proxy-anyauth"]
    done = run(ask, [*arguments, ask.url])
    return answered(done, done.stdout)


def git(ask: Ask) -> Answer:
    arguments = ["git", "-c", f"http.proxy={ask.proxyURL}"]
    arguments += ["-c", f"http.sslCAInfo={ask.certificate}"]
    if not ask.challenged:
        # By itself git waits to be asked.
        arguments += ["-c", "http.proxyAuthMethod=basic"]
    arguments += ["clone", "-q", ask.url.replace("page.txt", "repository.git"), "got"]
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    done = run(ask, arguments, **quiet)
    page = ask.directory / "got" / "page.txt"
    return answered(done, page.read_bytes() if page.exists() else None)


def pip(ask: Ask) -> Answer:
    arguments = [sys.executable, "-m", "pip", "install", "--target", "got"]
    arguments += ["--no-deps", "--no-cache-dir", "--retries", "1"]
    arguments += ["--index-url", ask.url.replace("page.txt", "simple")]
    arguments += ["--proxy", ask.proxyURL, "--cert", str(ask.certificate), "onepage"]
    quiet = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = run(ask, arguments, **quiet, PIP_ROOT_USER_ACTION="ignore")
    page = ask.directory / "got" / "onepage.txt"
    return answered(done, page.read_bytes() if page.exists() else None)


def openssl(ask: Ask) -> Answer:
    arguments = ["openssl", "s_client", "-proxy", ask.proxy, "-quiet"]
    arguments += ["-connect", f"{ask.host}:{ask.port}", "-servername", ask.host]
    arguments += ["-CAfile", str(ask.certificate), "-verify_return_error"]
    if ask.user is not None:
        arguments += ["-proxy_user", ask.user, "-proxy_pass", f"pass:{ask.password}"]
    done = run(ask, arguments, b"GET /page.txt HTTP/1.0\r\n\r\n")
    _, blank, page = done.stdout.partition(b"\r\n\r\n")
    return answered(done, page if blank else None)


def nc(ask: Ask) -> Answer:
    # -d: it does not read its standard input, so the other side's end is its own.
    arguments = ["nc", "-d", "-X", "connect", "-x", ask.proxy]
    if ask.user is not None:
        return _typed(ask, [*arguments, "-P", ask.user, ask.host, str(ask.speaker)])
    done = run(ask, [*arguments, ask.host, str(ask.speaker)])
    return answered(done, done.stdout)


def _typed(ask: Ask, arguments: Sequence[str]) -> Answer:
    """It asks for the password at a terminal of its own."""
    here, there = os.openpty()
    # The first terminal that the leader of a session opens is the session's.
    script = 'terminal=$1; shift; : <"$terminal"; exec "$@"'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", os.ttyname(there), *arguments],
        cwd=ask.directory,
        env=environment(ask.directory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        asked = b""
        while not asked.endswith(b": "):
            asked += os.read(here, 1000)
        os.write(here, ask.password.encode() + b"\n")
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        os.close(here)
        os.close(there)
    done = subprocess.CompletedProcess(arguments, process.returncode, out, err)
    return answered(done, out)


def requests(ask: Ask) -> Answer:
    import requests as library

    try:
        got = library.get(
            ask.url, proxies={"https": ask.proxyURL}, verify=str(ask.certificate)
        )
    except library.exceptions.ProxyError as error:
        return Answer(None, str(error))
    return Answer(got.text)


def httpx(ask: Ask) -> Answer:
    import httpx as library

    try:
        with library.Client(proxy=ask.proxyURL, verify=ask.trust()) as client:
            return Answer(client.get(ask.url).text)
    except library.ProxyError as error:
        return Answer(None, str(error))


def aiohttp(ask: Ask) -> Answer:
    import aiohttp as library

    async def fetch() -> str:
        async with (
            library.ClientSession() as session,
            session.get(ask.url, proxy=ask.proxyURL, ssl=ask.trust()) as got,
        ):
            return str(await got.text())

    try:
        return Answer(asyncio.run(fetch()))
    except library.ClientHttpProxyError as error:
        return Answer(None, str(error))


def pycurl(ask: Ask) -> Answer:
    import pycurl as library

    got = io.BytesIO()
    handle = library.Curl()
    try:
        handle.setopt(library.URL, ask.url)
        handle.setopt(library.PROXY, f"http://{ask.proxy}")
        handle.setopt(library.CAINFO, str(ask.certificate))
        handle.setopt(library.WRITEDATA, got)
        if ask.user is not None:
            handle.setopt(library.PROXYUSERPWD, ask.credentials)
        if ask.challenged:
            handle.setopt(library.PROXYAUTH, library.HTTPAUTH_ANY)
        handle.perform()
    except library.error as error:
        return Answer(None, str(error))
    finally:
        handle.close()
    return Answer(got.getvalue().decode())


def urllib_(ask: Ask) -> Answer:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"https": ask.proxyURL}),
        urllib.request.HTTPSHandler(context=ask.trust()),
    )
    try:
        with opener.open(ask.url) as got:
            return Answer(got.read().decode())
    except urllib.error.URLError as error:
        return Answer(None, str(error))


def httpClient(ask: Ask) -> Answer:
    host, port = ask.proxy.split(":")
    connection = http.client.HTTPSConnection(host, int(port), context=ask.trust())
    headers = {}
    if ask.user is not None:
        given = base64.b64encode(ask.credentials.encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {given}"
    connection.set_tunnel(ask.host, ask.port, headers)
    try:
        connection.request("GET", "/page.txt")
        return Answer(connection.getresponse().read().decode())
    except OSError as error:
        return Answer(None, str(error))
    finally:
        connection.close()


CLIENTS: dict[str, Callable[[Ask], Answer]] = {
    "curl": curl,
    "git": git,
    "pip": pip,
    "openssl": openssl,
    "nc": nc,
    "requests": requests,
    "httpx": httpx,
    "aiohttp": aiohttp,
    "pycurl": pycurl,
    "urllib": urllib_,
    "http.client": httpClient,
}

CHALLENGED = ("curl", "git", "pycurl", "nc")
"""The clients that can wait with their credentials until they are asked."""
