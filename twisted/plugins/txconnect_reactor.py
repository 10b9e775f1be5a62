"""
C{twistd --reactor=txconnect}.
"""

from twisted.application.reactors import Reactor

connect = Reactor(
    "txconnect",
    "txconnect.reactor",
    "The epoll reactor, with one epoll for it and for tunnels.",
)
