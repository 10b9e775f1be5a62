"""
Floor 0: what goes over the wire, as arithmetic.

Bytes in, values out; values in, bytes out.  No Twisted, no zope, no clock and
no socket may ever be imported here: everything in this room is tested by a
plain function call.
"""
