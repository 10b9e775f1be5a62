"""
C{python -m benchmarks}: this proxy beside others, the same work for each, in
one run that anyone can repeat.

Never imported by C{txconnect}, and not installed: it runs from the checkout,
with the standard library and what the proxy itself needs.
"""
