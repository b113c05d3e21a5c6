"""How does a session folder of the two-file contract become facts, and how is it changed?"""
