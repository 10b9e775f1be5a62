"""
Stock policies: rules on destinations, users and clients.

They judge by values and keep no state of a tunnel; they use the vocabulary
(L{txconnect.values}, L{txconnect.interfaces}) and nothing above it, so each is
also an example for policies of other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txconnect.naming import namesWhenUsed

if TYPE_CHECKING:
    from txconnect.policy.clients import ClientsPolicy
    from txconnect.policy.combinators import allOf, anyOf, reportOnly
    from txconnect.policy.defaults import defaultPolicies
    from txconnect.policy.hosts import DenyHostsPolicy, HostsPolicy
    from txconnect.policy.networks import NetworksPolicy
    from txconnect.policy.ports import PortsPolicy
    from txconnect.policy.users import UsersPolicy

__all__ = [
    "ClientsPolicy",
    "DenyHostsPolicy",
    "HostsPolicy",
    "NetworksPolicy",
    "PortsPolicy",
    "UsersPolicy",
    "allOf",
    "anyOf",
    "defaultPolicies",
    "reportOnly",
]

_HOMES = {
    "ClientsPolicy": ".clients",
    "DenyHostsPolicy": ".hosts",
    "HostsPolicy": ".hosts",
    "NetworksPolicy": ".networks",
    "PortsPolicy": ".ports",
    "UsersPolicy": ".users",
    "allOf": ".combinators",
    "anyOf": ".combinators",
    "defaultPolicies": ".defaults",
    "reportOnly": ".combinators",
}

__getattr__ = namesWhenUsed(__name__, _HOMES, globals())
