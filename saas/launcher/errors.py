class LauncherError(Exception):
    """Something that a person can put right: shown as one message, without a traceback."""
