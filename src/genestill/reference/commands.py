"""The commands of the reference stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill reference``."""
