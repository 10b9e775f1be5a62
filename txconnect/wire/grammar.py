"""
The pieces of grammar that more than one parser or writer needs, each once.

RFC 9110, 5.6 (tokens), 5.1 and 5.5 (field lines); RFC 9112, 5.  For octets, and
for text that holds one character for each octet.  Two modules with a token
class each could come to differ, and a difference between two readers of one
stream is how requests are smuggled.
"""

from __future__ import annotations

import re

TOKEN_CHARACTERS = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
"""C{tchar}, for the inside of a character class (RFC 9110, 5.6.2)."""

TOKEN = rf"[{TOKEN_CHARACTERS}]+"
"""A token, as a pattern for text."""

TOKEN_OCTETS = TOKEN.encode("ascii")
"""A token, as a pattern for octets."""

matchToken = re.compile(TOKEN, re.ASCII).fullmatch
"""Match a text that is a token."""

matchTokenOctets = re.compile(TOKEN_OCTETS).fullmatch
"""Match octets that are a token."""

FIELD_LINE = re.compile(rb"(" + TOKEN_OCTETS + rb"):([\t -~\x80-\xff]*)\r\n")
"""
A whole field line: the name, and the value with the white space around it.
It allows neither white space in front of the colon (RFC 9112, 5.1) nor a control
character.
"""

matchFieldValue = re.compile(
    rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?"
).fullmatch
"""Match a field's value without white space at its ends (RFC 9110, 5.5)."""

# C1 controls too: terminals obey some of them, and the text goes into a log.
findControl = re.compile("[\x00-\x1f\x7f-\x9f]").search
"""Search a text for a control character, those of Latin-1's upper half too."""

findControlOctet = re.compile(rb"[\x00-\x1f\x7f]").search
"""Search octets for a control character of ASCII."""
