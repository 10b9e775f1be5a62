"""
Routes: which tunnels leave through a parent proxy, from a certain address, or
as they are.

C{targets} reads what an operator writes, C{rules} asks the patterns,
C{dialled} and C{parent} reach one parent, C{answers} says what a parent's
failure is to our own client, C{health} knows which parents are down, and
C{failover} goes from one to the next.  The client's side of CONNECT and
SOCKS5 itself is L{txconnect.client}'s.
"""
