"""
C{twistd connectproxy}: the options, and the service made from them.

C{twistd} parses the options, makes the service, forks, and only then starts
it.  So every mistake is found while parsing and reported in one line, and
nothing is opened before the start.
"""

from txconnect.command.making import makeService
from txconnect.command.options import Options

__all__ = ["Options", "makeService"]
