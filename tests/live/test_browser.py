"""
Headless Chromium through the real command.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from browser import chromium
from conftest import PASSWORD, USER
from loopback import PAGE, Site
from proxyprocess import DENIED, ProxyProcess

Program = Callable[[str], str]


def test_page(
    plain: ProxyProcess, site: Site, program: Program, tmp_path: Path
) -> None:
    """[T18] It loads an https page of a loopback server through the proxy."""
    with chromium(program("chromium"), plain.address, site.issued, tmp_path) as browser:
        assert browser.load(f"{site.url}/page.html") == PAGE.strip()
    record = plain.told(event="closed", authority=site.authority)
    assert record["user"] is None


def test_credentials(
    guarded: ProxyProcess, site: Site, program: Program, tmp_path: Path
) -> None:
    """[H1-35] [H1-37] [AU-02] Asked by a 407, it comes again on a second
    connection, with its user's credentials."""
    with chromium(
        program("chromium"), guarded.address, site.issued, tmp_path, (USER, PASSWORD)
    ) as browser:
        assert browser.load(f"{site.url}/page.html") == PAGE.strip()
    (asked,) = browser.challenges
    assert (asked["source"], asked["scheme"], asked["realm"]) == (
        "Proxy",
        "basic",
        "proxy",
    )
    refused = guarded.told(event="refused", authority=site.authority)
    assert refused["cause"] == "credentials-missing"
    assert guarded.told(event="closed", authority=site.authority)["user"] == USER


def test_wrongCredentials(
    guarded: ProxyProcess, site: Site, program: Program, tmp_path: Path
) -> None:
    """[H1-38] With wrong ones it is asked again, and no tunnel is made."""
    with chromium(
        program("chromium"), guarded.address, site.issued, tmp_path, (USER, "wrong")
    ) as browser:
        assert PAGE.strip() not in browser.load(f"{site.url}/page.html")
    assert len(browser.challenges) == 2
    guarded.told(event="refused", cause="credentials-refused")
    mine = [one for one in guarded.records() if one["authority"] == site.authority]
    assert {one["event"] for one in mine} == {"refused"}


def test_refused(
    plain: ProxyProcess, site: Site, program: Program, tmp_path: Path
) -> None:
    """[H1-36] What its user is shown when a policy refuses, and it does not go
    around the proxy."""
    with chromium(program("chromium"), plain.address, site.issued, tmp_path) as browser:
        shown = browser.load(f"https://{DENIED}:{site.port}/page.html")
    assert shown == "net::ERR_TUNNEL_CONNECTION_FAILED"
    assert plain.told(event="refused", rule="deny-hosts")["status"] == 403
