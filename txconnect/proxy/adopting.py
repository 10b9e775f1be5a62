"""
Plugins that are services: started and stopped with the proxy that has them.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.application.service import IService, MultiService

from txconnect.values import Named

__all__ = ["AdoptedServices"]


class AdoptedServices:
    """
    The services among the plugins of one proxy.

    One that has a parent is not adopted: that starts it, be it the proxy itself, where
    the plugin is of several kinds, or the program around.

    @param proxy: becomes their parent.
    """

    def __init__(self, proxy: MultiService) -> None:
        self._proxy = proxy
        self._holders: dict[int, MultiService] = {}

    def adopt(self, plugins: Iterable[Named]) -> None:
        """
        Start and stop with the proxy what is a service and has no parent.

        @raise Exception: one cannot start; then none of the new ones does.
        """
        adopted: list[int] = []
        try:
            for each in plugins:
                plugin = each.plugin
                if IService.providedBy(plugin) and plugin.parent is None:
                    # Two plugins may have one name, two services of a parent not.
                    holder = self._holders[id(plugin)] = MultiService()
                    adopted.append(id(plugin))
                    holder.setServiceParent(self._proxy)
                    plugin.setServiceParent(holder)
        except Exception:
            for key in adopted:
                self._holders.pop(key).disownServiceParent()
            raise

    def keepOnly(self, plugins: Iterable[Named]) -> None:
        """Stop those that are not among C{plugins}."""
        kept = {id(each.plugin) for each in plugins}
        for key in [key for key in self._holders if key not in kept]:
            self._holders.pop(key).disownServiceParent()
