"""
The refusals table: the one place that says how a refusal looks.

Each member of L{Cause} is a row: what the log and the metrics call it, the
HTTP status, the C{Proxy-Status} error (RFC 9209, 2.3), what happened in
words, and what the person in front of the client can do about it.  Nothing
else in the program may choose a status.
"""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """
    Why a tunnel was refused.

    @ivar label: the name in logs and metrics; constant over releases.
    @ivar status: the HTTP status code.
    @ivar error: the C{Proxy-Status} error type, or L{None} where no answer is
        ever sent.
    @ivar summary: what happened, a sentence without its full stop.
    @ivar advice: what to do about it, a sentence.
    """

    label: str
    status: int
    error: str | None
    summary: str
    advice: str

    def __init__(
        self, label: str, status: int, error: str | None, summary: str, advice: str
    ) -> None:
        self.label = label
        self.status = status
        self.error = error
        self.summary = summary
        self.advice = advice

    # The head.  RFC 9112, 3; RFC 9110, 15.5 and 15.6.
    MALFORMED = (
        "malformed-request",
        400,
        "http_request_error",
        "The request is not well-formed HTTP/1.1",
        "Send CONNECT host:port HTTP/1.1 with a Host field; is this client speaking "
        "HTTP, and to the right port?",
    )
    BAD_TARGET = (
        "bad-target",
        400,
        "http_request_error",
        "The request's target is no host:port that this proxy accepts",
        "Name a host in ASCII letters, or an address in its plain form, and a port "
        "from 1 to 65535.",
    )
    METHOD = (
        "method",
        405,
        "http_request_error",
        "This proxy serves the CONNECT method only",
        "Use this proxy for https:// (CONNECT); reach http:// sites another way, "
        "with NO_PROXY or without http_proxy.",
    )
    HEAD_TIMEOUT = (
        "head-timeout",
        408,
        "http_request_error",
        "The request's head did not arrive in time",
        "Try again; if it happens often, the network between client and proxy is slow.",
    )
    TARGET_TOO_LONG = (
        "target-too-long",
        414,
        "http_request_error",
        "The request's target is too long",
        "Name a host of at most 253 octets.",
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
        "The request's HTTP version is not served on this port",
        "Use HTTP/1.1 or HTTP/1.0 towards this proxy.",
    )

    # Who may.  RFC 9110, 15.5.8 and 11.4.
    CREDENTIALS_MISSING = (
        "credentials-missing",
        407,
        "http_request_denied",
        "This proxy asks for credentials",
        "Give the client a user and a password for the proxy.",
    )
    CREDENTIALS_MALFORMED = (
        "credentials-malformed",
        407,
        "http_request_denied",
        "The credentials for the proxy could not be read",
        "Send them as the scheme asks, once, and in UTF-8.",
    )
    CREDENTIALS_REFUSED = (
        "credentials-refused",
        407,
        "http_request_denied",
        "The credentials for the proxy are not right",
        "Check the user and the password that the client has for the proxy.",
    )

    # Where to.
    POLICY = (
        "policy",
        403,
        "http_request_denied",
        "A policy of this proxy refuses this destination",
        "Ask who runs the proxy to allow it, or reach it directly with NO_PROXY.",
    )
    ADDRESS = (
        "address-prohibited",
        403,
        "destination_ip_prohibited",
        "The destination's address is one that this proxy may not reach",
        "Reach it directly with NO_PROXY, or ask who runs the proxy to allow it.",
    )
    LOOP = (
        "loop",
        502,
        "proxy_loop_detected",
        "The request leads back to this proxy itself",
        "Take the proxy's own address out of what is sent through it, with NO_PROXY.",
    )
    NOT_CARRIED = (
        "not-carried",
        500,
        "proxy_configuration_error",
        "The route to the destination cannot carry what was asked for",
        "Tell who runs the proxy: a route of its own stands in the way.",
    )
    LIMIT = (
        "limit",
        503,
        "connection_limit_reached",
        "A limit on tunnels is reached",
        "Try again when other tunnels have ended.",
    )

    # Looking it up, and dialling it.
    DNS_ERROR = (
        "dns-error",
        502,
        "dns_error",
        "The destination's name could not be resolved",
        "Check the name; the proxy's own resolver was asked for it.",
    )
    DNS_TIMEOUT = (
        "dns-timeout",
        504,
        "dns_timeout",
        "The destination's name could not be resolved in time",
        "Try again; if it stays so, the proxy's resolver is in trouble.",
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
        "The destination broke the connection off before it was established",
        "Check that the destination is up, and what stands in front of it.",
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
        "Check the address, and the proxy's own network.",
    )

    # A parent proxy through which the request would have gone on.  A parent's
    # own refusal is one of this proxy, whose status says how far it got.
    PARENT_UNREACHABLE = (
        "parent-unreachable",
        503,
        "destination_unavailable",
        "The parent proxy on the way there could not be reached",
        "Try again; tell who runs the proxy if it stays so.",
    )
    PARENT_SILENT = (
        "parent-silent",
        504,
        "http_response_timeout",
        "The parent proxy on the way there did not answer in time",
        "Check that the destination is up; else try again.",
    )
    PARENT_BROKE_OFF = (
        "parent-broke-off",
        502,
        "http_response_incomplete",
        "The parent proxy on the way there broke off before its answer was complete",
        "Try again; tell who runs the proxy if it stays so.",
    )
    PARENT_MALFORMED = (
        "parent-malformed",
        502,
        "http_protocol_error",
        "The parent proxy on the way there gave an answer that cannot be read",
        "Tell who runs the proxy: what is taken for its parent may be none.",
    )
    PARENT_HEAD_TOO_LARGE = (
        "parent-head-too-large",
        502,
        "http_response_header_section_size",
        "The head of the parent proxy's answer is too large",
        "Tell who runs the proxy: what is taken for its parent may be none.",
    )
    PARENT_TLS = (
        "parent-tls",
        502,
        "tls_protocol_error",
        "TLS with the parent proxy on the way there failed",
        "Tell who runs the proxy; its log has the whole story under this id.",
    )
    PARENT_CERTIFICATE = (
        "parent-certificate",
        502,
        "tls_certificate_error",
        "The certificate of the parent proxy on the way there is not to be trusted",
        "Tell who runs the proxy; its log has the whole story under this id.",
    )
    PARENT_ALERT = (
        "parent-tls-alert",
        502,
        "tls_alert_received",
        "The parent proxy on the way there ended TLS with an alert",
        "Tell who runs the proxy; its log has the whole story under this id.",
    )
    PARENT_CREDENTIALS = (
        "parent-credentials",
        502,
        "proxy_configuration_error",
        "The parent proxy on the way there does not accept this proxy's credentials",
        "Tell who runs the proxy; the client's own credentials are not the reason.",
    )
    PARENT_DENIED = (
        "parent-denied",
        403,
        "http_request_denied",
        "The parent proxy on the way there refuses this destination",
        "Ask who runs the parent proxy to allow it, or reach it directly with "
        "NO_PROXY.",
    )
    PARENT_UNAVAILABLE = (
        "parent-unavailable",
        503,
        "destination_unavailable",
        "The parent proxy on the way there cannot serve just now",
        "Try again later.",
    )
    PARENT_TIMEOUT = (
        "parent-timeout",
        504,
        "connection_timeout",
        "The parent proxy on the way there had no answer from the destination in time",
        "Check that the destination is up and reachable from the parent proxy.",
    )
    PARENT_REFUSED = (
        "parent-refused",
        502,
        "destination_unavailable",
        "The parent proxy on the way there did not open the tunnel",
        "Check the name, the port, and that the destination is up.",
    )

    # The proxy's own trouble.
    PLUGIN_ERROR = (
        "plugin-error",
        500,
        "proxy_internal_error",
        "A plugin of this proxy failed, so it refused",
        "Tell who runs the proxy; its log has the whole story under this id.",
    )
    PLUGIN_TIMEOUT = (
        "plugin-timeout",
        500,
        "proxy_internal_error",
        "A plugin of this proxy did not decide in time, so it refused",
        "Try again; tell who runs the proxy if it stays so.",
    )
    INTERNAL = (
        "internal-error",
        500,
        "proxy_internal_error",
        "The proxy failed, so it refused",
        "Tell who runs the proxy; its log has the whole story under this id.",
    )
    EXHAUSTED = (
        "exhausted",
        503,
        "proxy_internal_error",
        "The proxy is out of descriptors, ports or look-up slots",
        "Try again; tell who runs the proxy if it stays so.",
    )

    # Nobody is there to be answered; for the log alone.
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
