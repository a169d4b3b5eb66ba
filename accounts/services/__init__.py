"""Writes of people and sessions, a module a noun."""
