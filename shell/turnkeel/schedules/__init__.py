"""How do schedules become messages of their sessions, each nominal time once?"""
