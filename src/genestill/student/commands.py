"""The commands of the student stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill student``."""
