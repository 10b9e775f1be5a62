"""
The kernel relay: sockets in an epoll of its own, and C{splice} for bulk.
"""
