"""
treq through a proxy: print the status of a page, and how long it is.

    python examples/treq_through_proxy.py https://example.com/ http://alice:secret@127.0.0.1:3128

Without a proxy on the command line it is the one of the environment, by curl's
rules: HTTPS_PROXY, http_proxy, ALL_PROXY, NO_PROXY.
"""

import sys
from typing import Any

import treq
from OpenSSL import SSL
from twisted.internet import task
from twisted.internet.error import ConnectError

from txconnect.client import agentFromEnvironment, proxyAgent


async def main(reactor: Any, url: str, proxy: str | None = None) -> None:
    try:
        if proxy is None:
            agent = agentFromEnvironment(reactor)
        else:
            agent = proxyAgent(reactor, proxy)
        response = await treq.get(url, agent=agent)
    except (ConnectError, ValueError, SSL.Error) as error:
        # No tunnel; no proxy's URL; no certificate to trust.
        raise SystemExit(str(error)) from None
    print(response.code, len(await response.content()))


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
