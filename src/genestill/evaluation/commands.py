"""The commands of the evaluation stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill evaluation``."""
