"""
The log files of plugins, opened again after a log rotation has renamed them.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger

from txconnect.interfaces import IReopens
from txconnect.roles import verifiedPlugins
from txconnect.values import Named

_log = Logger()


class Reopening:
    """
    The plugins of one proxy that provide L{IReopens}, of whatever kind.
    """

    def __init__(self, plugins: Iterable[Named]) -> None:
        """
        @param plugins: all plugins of the proxy; an object that is several of
            them is reopened once.
        @raise ConfigurationError: one declares that it provides L{IReopens}, and
            does not.
        """
        # By identity: plugins may compare equal and yet have a file each.
        found: dict[int, Named] = {}
        for each in plugins:
            if IReopens.providedBy(each.plugin):
                found.setdefault(id(each.plugin), each)
        self._plugins = verifiedPlugins(found.values(), IReopens)

    def reopen(self) -> list[str]:
        """
        Make each open its file again, even when others fail.

        @return: the names of those that have opened it; for the others the log
            has the reason.
        """
        return [each.name for each in self._plugins if _hasReopened(each)]


def _hasReopened(each: Named) -> bool:
    try:
        each.plugin.reopen()
    except OSError as error:
        _log.error(
            "{name}: its file cannot be opened again, the old one stays in use: {reason}",
            name=each.name,
            reason=_openErrorText(error),
        )
    except BaseException:
        # A plugin's own fault: the next one must still open its file.
        _log.failure("{name} failed to open its file again", name=each.name)
    else:
        return True
    return False


def _openErrorText(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"
