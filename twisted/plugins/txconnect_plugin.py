"""
C{twistd connectproxy}.
"""

from twisted.application.service import ServiceMaker

connectproxy = ServiceMaker(
    "txconnect", "txconnect.command", "An HTTP CONNECT proxy.", "connectproxy"
)
