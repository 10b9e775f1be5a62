"""
Keywords of the factory, as type checkers see them.

It is read by the type checker alone, and run by nothing: an ignored error that is no
error any more is one itself.
"""

from __future__ import annotations

from twisted.internet import reactor

from txconnect import ConnectProxyFactory, Settings

ConnectProxyFactory(reactor, policies=[], settings=Settings(idleTimeout=5))
ConnectProxyFactory(reactor, polices=[])  # type: ignore[call-arg]
ConnectProxyFactory(reactor, settings={"idleTimeout": 5})  # type: ignore[arg-type]
