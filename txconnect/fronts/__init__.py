"""
Floor 3: one module for each HTTP version, each of which turns its connection
into requests, and what follows into its version's answers.
"""
