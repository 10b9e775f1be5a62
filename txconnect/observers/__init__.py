"""
Stock observers: what becomes of tunnels, as lines and as figures.

They hear events and change nothing.  They use the vocabulary
(L{txconnect.values}, L{txconnect.interfaces}) and nothing above it.
"""
