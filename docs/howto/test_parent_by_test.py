from twisted.internet.endpoints import TCP4ClientEndpoint

from txconnect import Route, routerPlugin
from txconnect.client import ConnectEndpoint
from txconnect.testing import MemoryNetwork, proxyOnMemory


def toParent(reactor):
    def viaParent(request, addresses):
        parent = TCP4ClientEndpoint(reactor, "192.0.2.9", 3128)
        return ConnectEndpoint(parent, request.authority.host, request.authority.port)

    @routerPlugin("parent", "Send everything to a parent.")
    def route(request):
        return Route.through("parent", viaParent, resolves=True)

    return route


def test_parent():
    network = MemoryNetwork()
    with proxyOnMemory(network=network, routers=[toParent(network)]) as net:
        parent = net.serve("192.0.2.9:3128")
        client = net.connectThrough("b.example:443")
        (asked,) = parent.peers
        assert asked.received.startswith(b"CONNECT b.example:443 ")
        asked.send(b"HTTP/1.1 200 OK\r\n\r\n")
        net.flush()
        assert client.status == 200
        assert net.events.established[0].tunnel.route == "parent"
