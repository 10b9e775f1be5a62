"""
The stock taps, by name.  What makes them is imported when one is asked for.
"""

from txconnect.plugins import tapFactory

sni = tapFactory(
    "sni",
    "End tunnels whose TLS does not name the requested host, or one of these.",
    "txconnect.taps.sni:SniTap",
    "NAME|*.NAME,...",
)
