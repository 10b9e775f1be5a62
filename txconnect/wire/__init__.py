"""
Floor 0: the protocols on the wire, as arithmetic.

Bytes in, values out; values in, bytes out.  No Twisted, no zope, no clock and
no socket may ever be imported here: a plain function call tests everything in
this room.
"""
