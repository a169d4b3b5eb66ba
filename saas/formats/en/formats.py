"""Dates in English that people of every country read the same."""

DATE_FORMAT = "j F Y"
DATETIME_FORMAT = "j F Y, H:i"
