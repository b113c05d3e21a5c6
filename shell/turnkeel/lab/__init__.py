"""Where can the whole be seen at work? The demo: a real host and agents that misbehave on purpose."""
