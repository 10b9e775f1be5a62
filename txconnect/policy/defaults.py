"""
The default policies.
"""

from __future__ import annotations

from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy

__all__ = ["defaultPolicies"]


def defaultPolicies() -> list[PortsPolicy | NetworksPolicy]:
    """
    Make the default policies, each in force until one of the same name is given:
    port 443, and public addresses that are not this machine's own.
    """
    # Both, because the name step and the address step each need a policy that
    # decides: the proxy does not start with a step at which none does.
    return [PortsPolicy(), NetworksPolicy()]
