"""
The fronts: one module a protocol, each of which turns a client's connection into
exchanges, and what becomes of them into its protocol's answers.
"""
