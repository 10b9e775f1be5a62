import asyncio

from txconnect import Allow, Deny, policyPlugin
from txconnect.testing import decideAsync


@policyPlugin("slow", "Take a moment.")
async def slow(request):
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
    return Allow() if request.identity else Deny("who are you?")


def test_slow():
    async def ask():
        loop = asyncio.get_running_loop()
        return await decideAsync(slow, "a.example:443", user="ada").asFuture(loop)

    assert asyncio.run(ask()) == Allow()
