"""The commands of the teacher stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill teacher``."""
