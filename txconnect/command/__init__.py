"""
C{twistd connectproxy}: the options, and the service that they make.

C{twistd} parses the options, makes the service, forks, and only then starts
it.  So everything that can be wrong is found while parsing and said in one
line, and nothing is opened before the start.
"""

from txconnect.command.making import makeService
from txconnect.command.options import Options

__all__ = ["Options", "makeService"]
