"""
The default policies.
"""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy, IPortOpener
from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.values import Allow, Decision, Deny, Named, Request

__all__ = ["DefaultPortsPolicy", "defaultPolicies"]

DEFAULT_PORT = 443

_ALLOW = Allow()


def defaultPolicies(
    given: Iterable[object] = (),
) -> list[DefaultPortsPolicy | NetworksPolicy]:
    """
    Make the default policies, each in force until one of the same name is given:
    port 443, and public addresses that are not this machine's own.

    @param given: the policies, or L{Named} policies, beside which they stand.
    """
    # Both, because the name step and the address step each need a policy that
    # decides: the proxy does not start with a step at which none does.
    return [DefaultPortsPolicy(given), NetworksPolicy()]


@implementer(IDestinationPolicy)
class DefaultPortsPolicy:
    """
    The policy on ports where none was given: it allows port 443, and the port that
    an item of another policy names together with the host, as C{hosts:a.example:22}
    does.

    Here alone a host opens a port.  The policy with that item, and every other one,
    must still allow the request.

    @ivar openers: the policies whose items open ports.
    """

    name = PortsPolicy.name

    def __init__(self, given: Iterable[object] = ()) -> None:
        self.openers = tuple(
            each for each in map(_named, given) if IPortOpener.providedBy(each.plugin)
        )

    def decide(self, request: Request) -> Decision:
        """Judge the port of a request."""
        port = request.authority.port
        if port == DEFAULT_PORT:
            return _ALLOW
        reason = f"port {port} is not among the allowed ports ({DEFAULT_PORT})"
        if not self.openers:
            return Deny(reason)
        for opener in self.openers:
            item = opener.plugin.opensPort(request)
            # By exact type: a coroutine, say, opens nothing.
            if type(item) is str and item:
                return Allow(f"{opener.name} names {item}")
            if item is not None:
                kind = type(item).__name__
                raise TypeError(f"{opener.name} answered {kind}, not an item or None")
        return Deny(f"{reason}, and no item names {request.authority}")


def _named(policy: object) -> Named:
    if isinstance(policy, Named):
        return policy
    return Named(str(getattr(policy, "name", "") or type(policy).__name__), policy)
