"""
The proxy itself, for programs that embed it, and the factory that makes it of any
endpoint.
"""

from txconnect.proxy.connectproxy import ConnectProxy
from txconnect.proxy.factory import ConnectProxyFactory

__all__ = ["ConnectProxy", "ConnectProxyFactory"]
