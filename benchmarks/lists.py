"""
The cost of lists of hosts and of networks: of a decision, and of reading a file.

C{python -m benchmarks.lists} prints a table.  A decision is one call of a policy, in
this process and without a proxy; of its runs the fastest counts, because all else on
the machine only adds to it.
"""

from __future__ import annotations

import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from txconnect.policy import HostsPolicy, NetworksPolicy
from txconnect.testing import makeRequest

__all__ = ["decisionSeconds", "main", "readingSeconds", "rows"]

SIZES = (10, 10_000, 200_000)
RUNS = 5
Decide = Callable[[], object]


def hostItems(number: int) -> list[str]:
    """Return as many items of hosts, a third of which cover what is below."""
    return [
        f"{'*.' if n % 3 == 0 else ''}host-{n}.sub{n % 97}.example.com"
        for n in range(number)
    ]


def networkItems(number: int) -> list[str]:
    """Return as many networks, of four prefix lengths."""
    return [f"10.{n >> 8 & 255}.{n & 255}.0/{24 + n % 4}" for n in range(number)]


def decidingHost(path: str) -> Decide:
    """Return a decision about a name of five labels that is not listed."""
    policy, request = HostsPolicy(path), makeRequest("a.b.c.example.org:443")
    return lambda: policy.decide(request)


def decidingNetwork(path: str) -> Decide:
    """Return a decision about an address that is not listed."""
    policy, request = NetworksPolicy(path), makeRequest()
    address = ip_address("203.0.113.7")
    return lambda: policy.decideAddress(request, address)


def decisionSeconds(decide: Decide, calls: int) -> float:
    """Return the time of one decision."""
    return min(timeit.repeat(decide, number=calls, repeat=RUNS)) / calls


def readingSeconds(read: Callable[[], object]) -> float:
    """Return the time in which a policy with one file is made."""
    return min(timeit.repeat(read, number=1, repeat=RUNS))


def rows(sizes: Sequence[int], calls: int) -> Iterator[str]:
    """Generate the lines of the table."""
    yield f"{'list':<10}{'items':>9}{'us a decision':>15}{'ms to read':>12}"
    kinds = [
        ("hosts", hostItems, decidingHost, sizes),
        ("networks", networkItems, decidingNetwork, [min(n, 5_000) for n in sizes]),
    ]
    with tempfile.TemporaryDirectory() as directory:
        for name, items, deciding, numbers in kinds:
            for number in dict.fromkeys(numbers):
                path = Path(directory, f"{name}-{number}")
                path.write_text("".join(f"{item}\n" for item in items(number)))
                item = f"@{path}"
                decision = decisionSeconds(deciding(item), calls) * 1e6
                reading = readingSeconds(lambda d=deciding, i=item: d(i)) * 1e3  # type: ignore[misc]
                yield f"{name:<10}{number:>9}{decision:>15.2f}{reading:>12.1f}"


def main() -> int:
    """Print the table."""
    for line in rows(SIZES, 100_000):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
