"""The commands of the labels stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill labels``."""
