"""How does an accepted message become a turn, its replies outbox rows, and those a delivery that is proven?

It stands beside the host: the host calls `follow` at each pass of a session and knows nothing else of it.
"""
