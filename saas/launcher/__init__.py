"""Starts what the platform needs on one machine.

It imports nothing of Django, so it works before settings can load.
"""
