"""Where do accepted messages, their turns and what is sent for them lie? A port, `turnkeel.db` and a twin in memory."""
