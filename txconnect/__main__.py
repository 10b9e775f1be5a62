"""
The command C{txconnect}, also C{python -m txconnect}: a thin wrapper over
C{twistd -n --pidfile= connectproxy}, with the reactor of its own where that works.

To use the other functions of C{twistd} (become a daemon, change the user,
choose the reactor), call C{twistd} itself.
"""

from __future__ import annotations

import select
import sys


def main() -> None:
    """
    Run C{passwd FILE USER} or show the help or the version, if C{sys.argv} says so,
    or run the proxy.
    """
    arguments = sys.argv[1:]
    _showText(arguments)
    if arguments[:1] == ["passwd"]:
        # Here, so that a password is set without loading twistd and plugins.
        from txconnect.command.passwd import main as passwd

        sys.exit(passwd(arguments[1:], sys.stdin, sys.stdout, sys.stderr))
    from txconnect.client.streams import openMissingStreams

    # Before a socket gets the number of a closed stream (2>&-).
    openMissingStreams()
    # Late: importing a reactor would install it, before twistd has read which
    # one is wanted.
    from twisted.scripts.twistd import run

    from txconnect.command.options import LOG_OBSERVER

    sys.argv[:] = [
        "txconnect",
        "--nodaemon",
        "--pidfile=",
        f"--logger={LOG_OBSERVER}",
        *(["--reactor=txconnect"] if hasattr(select, "epoll") else []),
        "connectproxy",
        *arguments,
    ]
    run()


def _showText(arguments: list[str]) -> None:
    """Show the help or the version and exit, if nothing else is asked for."""
    # As the option of the proxy does, but without loading twistd and plugins first.
    if arguments == ["--version"]:
        from txconnect.command.versions import versionsText

        sys.stdout.write(versionsText())
        sys.exit(0)
    if arguments in (["--help"], ["-h"]):
        from txconnect.command.options import Options

        options = Options()
        options.isConsole = True
        options.opt_help()


if __name__ == "__main__":
    main()
