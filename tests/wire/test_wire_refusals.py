"""
The refusals table, as a table.
"""

from __future__ import annotations

import re

import pytest

from txconnect.wire.refusals import Cause

# RFC 9209, 2.3: the error types that an intermediary's own answer may name,
# and the status that it recommends; None where the RFC leaves it open.
REGISTERED = {
    "connection_limit_reached": 503,
    "connection_refused": 502,
    "connection_terminated": 502,
    "connection_timeout": 504,
    "destination_ip_prohibited": 502,
    "destination_ip_unroutable": 502,
    "destination_unavailable": 503,
    "dns_error": 502,
    "dns_timeout": 504,
    "http_request_denied": 403,
    "http_protocol_error": 502,
    "http_request_error": None,
    "http_response_header_section_size": 502,
    "http_response_incomplete": 502,
    "http_response_timeout": 504,
    "proxy_configuration_error": 500,
    "proxy_internal_error": 500,
    "proxy_loop_detected": 502,
    "tls_alert_received": 502,
    "tls_certificate_error": 502,
    "tls_protocol_error": 502,
}

# Where this project answers otherwise, and why.
DEVIATIONS = {
    Cause.ADDRESS: 403,  # A policy said no, and a retry will not help.
    Cause.CREDENTIALS_MISSING: 407,  # It has no error type of its own.
    Cause.CREDENTIALS_MALFORMED: 407,
    Cause.CREDENTIALS_REFUSED: 407,
    Cause.PARENT_CREDENTIALS: 502,  # The hop behind this proxy is at fault.
    Cause.PARENT_REFUSED: 502,  # As if the destination itself had refused.
    Cause.EXHAUSTED: 503,  # It will pass; a 500 sounds as if it would not.
    Cause.UNLOGGED: 503,  # So will a disk that is full.
}


def test_labelsAreDistinct() -> None:
    """A label names one row in logs and metrics."""
    labels = [cause.label for cause in Cause]
    assert len(set(labels)) == len(labels) == len(Cause.__members__)
    assert all(re.fullmatch(r"[a-z0-9-]+", label) for label in labels)


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.label)
def test_rows(cause: Cause) -> None:
    """[PS-02] [PS-03] Each answered row has a registered error and its status."""
    assert cause.summary
    assert cause.summary.isascii() and cause.advice.isascii()
    assert not cause.summary.endswith(".")
    if cause.error is None:
        assert cause.advice == ""
        return
    assert cause.advice.endswith((".", "?"))
    assert cause.error in REGISTERED
    if cause.error == "http_request_error":
        assert cause.status in (400, 405, 408, 414, 431, 501, 505)
    else:
        assert cause.status == DEVIATIONS.get(cause, REGISTERED[cause.error])
