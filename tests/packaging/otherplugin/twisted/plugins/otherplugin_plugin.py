"""What Twisted finds of this distribution."""

from otherplugin import closed

__all__ = ["closed"]
