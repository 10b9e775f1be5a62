"""
Requests to the proxy itself, and fields for the 200: the hooks of programs that embed
the proxy.

A request to the proxy itself is decided like any other, and never goes anywhere: a
handler answers it, or it is refused.  So its outcome is a refusal to become a tunnel
with an answer of its own (L{Answered<txconnect.errors.Answered>}), which has one event
and closes as every refusal does; nothing behind it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import attrs
from twisted.internet.defer import Deferred

from txconnect.admission.decision import Admitted, Decision
from txconnect.admission.hooks import HookCaller
from txconnect.errors import Answered, Refused
from txconnect.maybeasync import Steps
from txconnect.values import Answer, Attempted, Cause, Named, Request, TunnelInfo
from txconnect.wire.answerfields import Fields, checkedFields
from txconnect.wire.attempted import attemptedLine
from txconnect.wire.http1.head import CONNECT
from txconnect.wire.responses import answerResponse

__all__ = ["OwnDecision", "fieldsFor"]

_ASKED = 200
"""Most characters of a request line in an event's reason."""


class OwnDecision(Decision):
    """The decision about one request to the proxy itself: which handler answers."""

    def steps(self) -> Steps[Admitted]:
        """
        Ask the handlers that need no credentials; then authenticate, where that is
        asked for and others are left, and ask those.

        @raise Refused: always: L{Answered} when a handler has answered.
        """
        handlers = self.rules.handlers
        if self.request.httpVersion != "1.0" and self.request.header(b"host") is None:
            raise Refused(
                Cause.MALFORMED, "there is no Host field, which HTTP/1.1 requires"
            )
        yield from self._ask(each for each in handlers if _isOpen(each))
        guarded = [each for each in handlers if not _isOpen(each)]
        if guarded:
            certificate = self.request.certificate
            if self.rules.authenticator is not None or certificate is not None:
                yield from self._authenticateRequest()
            yield from self._ask(guarded)
        raise Refused(Cause.METHOD, CONNECT.otherwise)

    def isTellable(self, cause: object) -> bool:
        """See L{HookCaller.isTellable}: an answer of a handler's, too."""
        return cause is Cause.ANSWERED or super().isTellable(cause)

    def claims(self, attempted: Attempted | None) -> Attempted:
        """See L{Decision.claims}: the request line, as of any that is not CONNECT."""
        user = "" if attempted is None else attempted.user
        return attrs.evolve(_lineOf(self.request), user=user)

    def _ask(self, handlers: Iterable[Named]) -> Steps[None]:
        for handler in handlers:
            answer = self.askHook(handler, handler.plugin.handle, self.request)
            if isinstance(answer, Deferred):
                answer = yield answer
            if type(answer) is Answer:
                reason = _reason(_lineOf(self.request), answer)
                raise Answered(handler.name, reason, answerResponse(answer))
            if answer is not None:
                raise self.wrongAnswer(handler, answer, "an Answer or None")


def _isOpen(handler: Named) -> bool:
    return getattr(handler.plugin, "withoutCredentials", False) is True


def _lineOf(request: Request) -> Attempted:
    # A query may be a secret, and the log is not for it.
    line = attemptedLine(request.method.encode("ascii"), request.target.encode("ascii"))
    return line or Attempted()


def _reason(line: Attempted, answer: Answer) -> str:
    asked = f"{line.method} {line.target}"
    if len(asked) > _ASKED:
        asked = asked[: _ASKED - 3] + "..."
    return f"{asked}: {answer.status}"


def fieldsFor(decision: HookCaller, tunnel: TunnelInfo) -> Fields:
    """
    Return the fields that plugins add to the 200 of a tunnel.

    @raise Refused: one has failed, or gives what cannot be sent.
    """
    fields: Fields = ()
    for plugin in decision.rules.tunnelFields:
        fields = decision.callHook(plugin, _moreFields, fields, plugin, tunnel)
    return fields


def _moreFields(fields: Fields, plugin: Named, tunnel: TunnelInfo) -> Fields:
    return checkedFields(chain(fields, plugin.plugin.tunnelFields(tunnel)))
