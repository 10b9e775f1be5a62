"""
The command C{txconnect}, also C{python -m txconnect}: a thin wrapper over
C{twistd -n --pidfile= connectproxy}.

For what else C{twistd} can do (become a daemon, change the user, choose the
reactor), call C{twistd} itself.
"""

from __future__ import annotations

import sys


def main() -> None:
    """
    Run what C{sys.argv} says: C{passwd FILE USER}, or the proxy.
    """
    arguments = sys.argv[1:]
    if arguments[:1] == ["passwd"]:
        from txconnect.command.passwd import main as passwd

        sys.exit(passwd(arguments[1:], sys.stdin, sys.stdout, sys.stderr))
    # No import of a reactor before twistd had its say.
    from twisted.scripts.twistd import run

    from txconnect.command.terminallog import LOG_OBSERVER

    sys.argv[:] = [
        "txconnect",
        "--nodaemon",
        "--pidfile=",
        f"--logger={LOG_OBSERVER}",
        "connectproxy",
        *arguments,
    ]
    run()


if __name__ == "__main__":
    main()
