"""
The stock policies, by name.  What makes them is imported when one is asked for.
"""

from txconnect.plugins import policyFactory

ports = policyFactory(
    "ports",
    "Allow these ports, ranges of ports, or any; by default port 443, and the ports "
    "that items of hosts name.  Two ports policies are one list; both it and hosts "
    "must allow.",
    "txconnect.policy.ports:PortsPolicy",
    "PORT|FIRST-LAST|any,...",
)
networks = policyFactory(
    "networks",
    "Allow addresses in these networks: public, any, CIDRs; public stands by default, "
    "also for hosts that are listed.  Two networks policies are one list; any stands "
    "alone.",
    "txconnect.policy.networks:NetworksPolicy.fromItems",
    "public|any|CIDR|ADDRESS|@FILE,...",
)
hosts = policyFactory(
    "hosts",
    "Allow these hosts only.  *.example.com is every name below example.com, "
    ".example.com is both; NAME:8443 is that port alone, open without a ports policy; "
    "@FILE holds one item a line, and is read again when it changes.  Two hosts "
    "policies are one list.",
    "txconnect.policy.hosts:HostsPolicy",
    "NAME|*.NAME|.NAME|ADDRESS[:PORT]|@FILE,...",
)
denyHosts = policyFactory(
    "deny-hosts",
    "Refuse these hosts; items and files are as for hosts, and two deny-hosts policies "
    "are one list.",
    "txconnect.policy.hosts:DenyHostsPolicy",
    "NAME|*.NAME|.NAME|ADDRESS[:PORT]|@FILE,...",
)
clients = policyFactory(
    "clients",
    "Allow clients in these networks only; unix is every client on a UNIX socket.  Two "
    "clients policies are one list.",
    "txconnect.policy.clients:ClientsPolicy",
    "CIDR|ADDRESS|unix|@FILE,...",
)
users = policyFactory(
    "users",
    "Allow these authenticated users only.  Two users policies are one list.",
    "txconnect.policy.users:UsersPolicy",
    "USER,...",
)
