"""
An established tunnel: its state, its pair of protocols, and the two relays that
move its bytes.

The kernel relay (L{txconnect.tunnel.kernel.relay}) moves bytes that no Python code
looks at, on sockets in an epoll that all such tunnels share.  The transport relay
(L{txconnect.tunnel.transport.relay}) serves all the others.  Both have the interface
L{txconnect.tunnel.relay.Relay}, and L{txconnect.tunnel.choice} chooses between them.
"""
