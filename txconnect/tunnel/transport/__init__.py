"""
The transport relay: Twisted transports that are each other's producers.
"""
