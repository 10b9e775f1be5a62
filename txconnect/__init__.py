"""
txconnect: a pluggable HTTP CONNECT proxy on Twisted.

Importing it costs nothing, so that the version can be read without Twisted.
Start at L{txconnect.proxy} to run a proxy, at L{txconnect.interfaces} to
write a plugin.
"""

from txconnect.naming import VERSION as __version__

__all__ = ["__version__"]
