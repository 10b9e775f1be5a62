"""
A policy: tunnels are opened on weekdays from eight to six.

    txconnect --policy ./office_hours.py:officeHours
"""

from datetime import datetime

from txconnect import Allow, Decision, Deny, Request, policyPlugin


def isOpen(now: datetime) -> bool:
    return now.weekday() < 5 and 8 <= now.hour < 18


@policyPlugin("office-hours", "Allow on weekdays from 8 to 18 o'clock.")
def officeHours(request: Request) -> Decision:
    if isOpen(datetime.now()):
        return Allow()
    return Deny("the office is closed; it opens on weekdays at eight")
