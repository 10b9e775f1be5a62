"""
From a name to a connection: look-ups, and the addresses that are dialled.
"""
