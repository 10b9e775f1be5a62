"""
One request on one client stream: its steps (L{txconnect.exchange.exchange}), and what
they are made of.
"""
