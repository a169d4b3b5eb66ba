"""The usual Django way, as tutorials have it: what one would write without this platform."""
