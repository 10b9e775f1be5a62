"""
The fronts: one module a protocol, each of which turns a client's connection into
exchanges, and their outcomes into its protocol's answers.
"""
