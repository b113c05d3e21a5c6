"""How are schedules and their occurrences kept?"""
