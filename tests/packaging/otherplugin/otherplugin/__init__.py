"""Another distribution's policy, for the tests of installation."""

from __future__ import annotations

from txconnect.plugins import policyPlugin
from txconnect.values import ConnectRequest, Decision, Deny


@policyPlugin("other-closed", "Refuse everything: nobody works today.")
def closed(request: ConnectRequest) -> Decision:
    return Deny("nobody works today")
