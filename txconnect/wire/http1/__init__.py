"""
HTTP/1.1 and 1.0: the heads that are read, and the answers that are written.
"""
