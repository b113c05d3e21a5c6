"""How does the outside world become facts, and actions deeds?"""
