"""
Routes: the tunnels that leave through a parent proxy, from a given source
address, or directly.

C{targets} reads the text that an operator writes, C{rules} matches a request
against the patterns, C{dialled} and C{parent} reach one parent, C{answers}
maps a parent's failure to a refusal, C{health} keeps the list of parents that
are down, and C{failover} goes from one parent to the next.  C{connecting} connects by
any route, a router's own among them, and C{endpointleg} makes a leg of an endpoint.
The client's side of CONNECT and SOCKS5 itself is L{txconnect.client}'s.
"""
