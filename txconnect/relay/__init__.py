"""
Floor 2: the two legs of an established tunnel, and what moves their bytes.

A relay owns bytes and nothing else: what the end of a direction means is
decided by L{txconnect.tunnel} with the closing table.
"""
