"""
An established tunnel: its state, the pair of protocols that it is handed to,
and the two relays that move its bytes.
"""
