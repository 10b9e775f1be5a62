"""
The refusals table: the one place that defines how a refusal looks.

Each member of L{Cause} is a row: its name in logs and metrics, the HTTP status,
the C{Proxy-Status} error (RFC 9209, 2.3), a sentence on the event, and advice
for the client's user.  Nothing else in the program may choose a status.

No advice teaches a way around the proxy, such as C{NO_PROXY}: to a policy that would be
a hint to go round it.  Whom to ask instead is the operator's to say
(L{txconnect.wire.notes}).
"""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """
    The cause of a refusal.

    @ivar label: the name in logs and metrics; constant over releases.
    @ivar status: the HTTP status code.
    @ivar error: the C{Proxy-Status} error type, or L{None} for a cause that no
        answer is ever sent for.
    @ivar summary: the event, a sentence without its full stop.  In an answer the
        destination follows it, after a colon.
    @ivar advice: the advice for the client's user, one sentence or two.
    @ivar limited: true for a cause that a stranger brings about by a connection
        alone, without a request: logs get only so many lines of it
        (L{txconnect.linelimit}).
    """

    label: str
    status: int
    error: str | None
    summary: str
    advice: str
    limited: bool

    def __init__(
        self,
        label: str,
        status: int,
        error: str | None,
        summary: str,
        advice: str,
        limited: bool = False,
    ) -> None:
        self.label = label
        self.status = status
        self.error = error
        self.summary = summary
        self.advice = advice
        self.limited = limited

    # The head.  RFC 9112, 3; RFC 9110, 15.5 and 15.6.
    MALFORMED = (
        "malformed-request",
        400,
        "http_request_error",
        "The request is not well-formed HTTP/1.1",
        "Check that the client speaks HTTP and connects to the right port: the proxy "
        "expects CONNECT host:port HTTP/1.1.",
    )
    OTHER_PROTOCOL = (
        "other-protocol",
        400,
        "http_request_error",
        "The client speaks another protocol than HTTP/1.1",
        "Check the scheme and the port of the proxy's URL: this port expects plain "
        "HTTP/1.1, as in http://proxy.example:3128.",
        True,
    )
    BAD_TARGET = (
        "bad-target",
        400,
        "http_request_error",
        "The request's target is not a host:port that this proxy accepts",
        "Use a host name in ASCII or an IP address in its standard form, and a port "
        "from 1 to 65535.",
    )
    METHOD = (
        "method",
        405,
        "http_request_error",
        "This proxy supports only the CONNECT method",
        "Use this proxy for https:// URLs; some clients can also open a tunnel for "
        "http:// URLs (curl -p).",
    )
    HEAD_TIMEOUT = (
        "head-timeout",
        408,
        "http_request_error",
        "The request's head did not arrive in time",
        "Try again; if it happens often, check the network to the proxy.",
    )
    TARGET_TOO_LONG = (
        "target-too-long",
        414,
        "http_request_error",
        "The request's target is too long",
        "Use a host name of at most 253 octets.",
    )
    HEAD_TOO_LARGE = (
        "head-too-large",
        431,
        "http_request_error",
        "The request's head is too large or has too many fields",
        "Send fewer or shorter header fields to the proxy.",
    )
    METHOD_TOO_LONG = (
        "method-too-long",
        501,
        "http_request_error",
        "The request's method is unknown and too long",
        "Use the CONNECT method.",
    )
    VERSION = (
        "http-version",
        505,
        "http_request_error",
        "The request's HTTP version is not supported on this port",
        "Use HTTP/1.1 or HTTP/1.0 with this proxy.",
        # An HTTP/2 client begins so, whatever it wants.
        True,
    )

    # Authentication.  RFC 9110, 15.5.8 and 11.4.
    CREDENTIALS_MISSING = (
        "credentials-missing",
        407,
        "http_request_denied",
        "This proxy requires credentials",
        "Give the client a user name and a password for the proxy.",
    )
    CREDENTIALS_MALFORMED = (
        "credentials-malformed",
        407,
        "http_request_denied",
        "The credentials for the proxy could not be read",
        "Send them once, in the form that the scheme requires.",
    )
    CREDENTIALS_REFUSED = (
        "credentials-refused",
        407,
        "http_request_denied",
        "The credentials for the proxy are not valid",
        "Check the user name and the password that the client uses for the proxy.",
    )

    # The destination.
    POLICY = (
        "policy",
        403,
        "http_request_denied",
        "A policy of this proxy refuses this destination",
        "Ask the proxy's operator to allow it.",
    )
    ADDRESS = (
        "address-prohibited",
        403,
        "destination_ip_prohibited",
        "This proxy may not connect to the destination's address",
        "Ask the proxy's operator to allow it.",
    )
    LOOP = (
        "loop",
        502,
        "proxy_loop_detected",
        "The request leads back to this proxy",
        "Do not send requests for the proxy's own address through it.",
    )
    NOT_CARRIED = (
        "not-carried",
        500,
        "proxy_configuration_error",
        "The route to the destination does not support this kind of request",
        "Tell the proxy's operator: a route in its configuration is the cause.",
    )
    LIMIT = (
        "limit",
        503,
        "connection_limit_reached",
        "The proxy has reached a limit on tunnels",
        "Try again when other tunnels have ended.",
    )

    HALF_CLOSED = (
        "half-closed",
        503,
        "connection_limit_reached",
        "Too many requests of this client's address await an answer behind its FIN",
        "Keep the connection open in both directions until the answer has come.",
    )

    # The look-up, and dialling.
    DNS_ERROR = (
        "dns-error",
        502,
        "dns_error",
        "The destination's name could not be resolved",
        "Check the name; the proxy looked it up with its own resolver.",
    )
    DNS_TIMEOUT = (
        "dns-timeout",
        504,
        "dns_timeout",
        "The destination's name could not be resolved in time",
        "Try again; if it persists, tell the proxy's operator to check its resolver.",
    )
    CONNECTION_REFUSED = (
        "connection-refused",
        502,
        "connection_refused",
        "The destination refused the connection",
        "Check the port, and that the destination is up.",
    )
    CONNECTION_TERMINATED = (
        "connection-terminated",
        502,
        "connection_terminated",
        "The destination closed the connection before it was established",
        "Check that the destination is up, and check any firewall or load balancer in "
        "front of it.",
    )
    CONNECTION_TIMEOUT = (
        "connection-timeout",
        504,
        "connection_timeout",
        "The destination did not answer in time",
        "Check that the destination is up and reachable from the proxy.",
    )
    UNROUTABLE = (
        "unroutable",
        502,
        "destination_ip_unroutable",
        "The proxy has no route to the destination",
        "Check the address, and the proxy's network.",
    )

    # A parent proxy through which the request would have gone on.  A parent's
    # own refusal becomes one of this proxy, whose status says how far the request
    # got: a parent's 407, passed on, would ask the client for the wrong credentials.
    PARENT_UNREACHABLE = (
        "parent-unreachable",
        503,
        "destination_unavailable",
        "The parent proxy for this destination could not be reached",
        "Try again; if it persists, tell the proxy's operator.",
    )
    PARENT_SILENT = (
        "parent-silent",
        504,
        "http_response_timeout",
        "The parent proxy for this destination did not answer in time",
        "Check that the destination is up; if it is, try again.",
    )
    PARENT_BROKE_OFF = (
        "parent-broke-off",
        502,
        "http_response_incomplete",
        "The parent proxy for this destination closed the connection before its answer "
        "was complete",
        "Try again; if it persists, tell the proxy's operator.",
    )
    PARENT_MALFORMED = (
        "parent-malformed",
        502,
        "http_protocol_error",
        "The parent proxy for this destination sent an answer that cannot be parsed",
        "Tell the proxy's operator: the configured parent may not be a proxy.",
    )
    PARENT_HEAD_TOO_LARGE = (
        "parent-head-too-large",
        502,
        "http_response_header_section_size",
        "The head of the parent proxy's answer is too large",
        "Tell the proxy's operator: the configured parent may not be a proxy.",
    )
    PARENT_TLS = (
        "parent-tls",
        502,
        "tls_protocol_error",
        "TLS with the parent proxy for this destination failed",
        "Tell the proxy's operator; its log has the details under this request id.",
    )
    PARENT_CERTIFICATE = (
        "parent-certificate",
        502,
        "tls_certificate_error",
        "The certificate of the parent proxy for this destination is not trusted",
        "Tell the proxy's operator; its log has the details under this request id.",
    )
    PARENT_ALERT = (
        "parent-tls-alert",
        502,
        "tls_alert_received",
        "The parent proxy for this destination ended TLS with an alert",
        "Tell the proxy's operator; its log has the details under this request id.",
    )
    PARENT_CREDENTIALS = (
        "parent-credentials",
        502,
        "proxy_configuration_error",
        "The parent proxy for this destination rejects this proxy's credentials",
        "Tell the proxy's operator; the client's own credentials are not the cause.",
    )
    PARENT_DENIED = (
        "parent-denied",
        403,
        "http_request_denied",
        "The parent proxy refuses this destination",
        "Ask the parent proxy's operator to allow it.",
    )
    PARENT_UNAVAILABLE = (
        "parent-unavailable",
        503,
        "destination_unavailable",
        "The parent proxy for this destination is unavailable at the moment",
        "Try again later.",
    )
    PARENT_TIMEOUT = (
        "parent-timeout",
        504,
        "connection_timeout",
        "The parent proxy got no answer from this destination in time",
        "Check that the destination is up and reachable from the parent proxy.",
    )
    PARENT_REFUSED = (
        "parent-refused",
        502,
        "destination_unavailable",
        "The parent proxy did not open the tunnel to this destination",
        "Check the name, the port, and that the destination is up.",
    )

    # Failures of the proxy itself.
    PLUGIN_ERROR = (
        "plugin-error",
        500,
        "proxy_internal_error",
        "A plugin of this proxy failed, so the request was refused",
        "Tell the proxy's operator; its log has the details under this request id.",
    )
    PLUGIN_TIMEOUT = (
        "plugin-timeout",
        500,
        "proxy_internal_error",
        "A plugin of this proxy did not decide in time, so the request was refused",
        "Try again; if it persists, tell the proxy's operator.",
    )
    INTERNAL = (
        "internal-error",
        500,
        "proxy_internal_error",
        "The proxy had an internal error, so the request was refused",
        "Tell the proxy's operator; its log has the details under this request id.",
    )
    EXHAUSTED = (
        "exhausted",
        503,
        "proxy_internal_error",
        "The proxy has run out of file descriptors, ports or look-up slots",
        "Try again; if it persists, tell the proxy's operator.",
    )

    UNLOGGED = (
        "unlogged",
        503,
        "proxy_internal_error",
        "The proxy cannot log this request, so it was refused",
        "Try again; if it persists, tell the proxy's operator.",
    )

    # For the log alone.  The handler of an embedding program has answered a request
    # to the proxy itself, with a status of its own.
    ANSWERED = (
        "answered",
        200,
        None,
        "The proxy has answered a request to itself",
        "",
    )
    # No client is left to answer; for the log alone.
    CLIENT_LEFT = (
        "client-left",
        499,
        None,
        "The client left before the tunnel was established",
        "",
    )
    SHUTDOWN = (
        "shutdown",
        503,
        None,
        "The proxy stopped before the tunnel was established",
        "",
    )
    # No request has come; for the log alone, too.
    HANDSHAKE = (
        "tls-handshake",
        400,
        None,
        "The TLS handshake with the client failed",
        "",
        True,
    )
    NOT_ACCEPTED = (
        "not-accepted",
        503,
        None,
        "The connection was closed at once, as the proxy has no file descriptors left",
        "",
        True,
    )
