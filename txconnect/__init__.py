"""
txconnect: a pluggable HTTP CONNECT proxy on Twisted.

Nothing is imported here, so that the version can be read without Twisted.
Start at L{txconnect.service} to run a proxy, at L{txconnect.interfaces} to
write a plugin.
"""

__version__ = "26.11.0"
