"""Only hosts that the register names, one a line, may be reached."""

from pathlib import Path

from zope.interface import implementer

from txconnect import Allow, Decision, Deny, Request
from txconnect.interfaces import IDestinationPolicy


@implementer(IDestinationPolicy)
class RegisterPolicy:
    """Reads the register once, when the proxy starts."""

    def __init__(self, path: str) -> None:
        try:
            lines = Path(path).read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the register cannot be read: {error}") from None
        self._hosts = {line.lower().removesuffix(".") for line in lines}

    def decide(self, request: Request) -> Decision:
        host = request.authority.host
        if host in self._hosts:
            return Allow("registered")
        return Deny(f"{host} is not in the register")
