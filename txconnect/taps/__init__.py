"""
Stock taps: rules on the bytes of tunnels.

They use the vocabulary (L{txconnect.values}, L{txconnect.interfaces}), the wire, and
the lists of the stock policies, so each is also an example for taps of other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import namesWhenUsed

if TYPE_CHECKING:
    from txconnect.taps.sni import SniTap

__all__ = ["SniTap"]

_HOMES = {"SniTap": ".sni"}

__getattr__ = namesWhenUsed(__name__, _HOMES, globals())
