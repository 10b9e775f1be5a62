"""
The stock policies, by name.  What makes them is imported when one is asked for.
"""

from txconnect.plugins import policyFactory

ports = policyFactory(
    "ports",
    "Allow these ports, ranges of ports, or any; port 443 stands by default.",
    "txconnect.policy.ports:PortsPolicy",
    "PORT|FIRST-LAST|any,...",
)
networks = policyFactory(
    "networks",
    "Allow addresses in these networks: public, any, CIDRs; public stands by default.",
    "txconnect.policy.networks:NetworksPolicy.fromItems",
    "public|any|CIDR,...",
)
hosts = policyFactory(
    "hosts",
    "Allow these names only; *.example.com is every name below example.com.",
    "txconnect.policy.hosts:HostsPolicy",
    "NAME|*.NAME|ADDRESS,...",
)
denyHosts = policyFactory(
    "deny-hosts",
    "Refuse these names; *.example.com is every name below example.com.",
    "txconnect.policy.hosts:DenyHostsPolicy",
    "NAME|*.NAME|ADDRESS,...",
)
users = policyFactory(
    "users",
    "Allow these authenticated users only.",
    "txconnect.policy.users:UsersPolicy",
    "USER,...",
)
