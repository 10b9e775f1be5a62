"""
A pair that changes bytes: whatever the destination says arrives in capitals.

    txconnect --policy ports:any --policy networks:any \
        --pair ./shouting_pair.py:shoutingPair

A half's C{dataReceived} gets what its leg has sent, and passes on what it
likes; back-pressure, half-close and resets stay the tunnel's.
"""

from txconnect import ProxyClient, ProxyServer, TunnelInfo, pairPlugin


class ShoutingClient(ProxyClient):
    """The destination's leg."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data.upper())


@pairPlugin("shouting", "Let every destination shout.")
def shoutingPair(tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
    return ProxyServer(), ShoutingClient()
