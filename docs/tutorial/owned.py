import sqlite3
from contextlib import closing

from twisted.internet.threads import deferToThread

from txconnect import Allow, Deny, policyPlugin


def ownerOf(host):
    with closing(sqlite3.connect("hosts.db")) as hosts:
        query = "select owner from hosts where name = ?"
        return hosts.execute(query, (host,)).fetchone()


@policyPlugin("owned", "Allow hosts that somebody owns.")
async def owned(request):
    found = await deferToThread(ownerOf, request.authority.host)
    if found:
        return Allow(f"owned by {found[0]}")
    return Deny(f"nobody owns {request.authority.host}")
