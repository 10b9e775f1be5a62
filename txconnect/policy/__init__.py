"""
Stock policies: who may go where.

They judge by values and keep no state of a tunnel; they use the vocabulary
(L{txconnect.values}, L{txconnect.interfaces}) and nothing above it, so each is
also an example of how a policy is written.
"""

from __future__ import annotations

from typing import Any

from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy

__all__ = ["defaultPolicies"]


def defaultPolicies() -> list[Any]:
    """
    What stands until a policy of the same name is given: port 443, and public
    addresses that are not this machine's own.
    """
    return [PortsPolicy(), NetworksPolicy()]
