"""
The decision about a request: may it go, and where to.
"""
