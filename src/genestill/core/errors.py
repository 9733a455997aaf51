"""The ways in which a run is stopped on purpose."""


class InputError(Exception):
    """The input is wrong. The message is a sentence that says where, what was found and what was expected."""


class ProgramFailed(Exception):
    """A program of others failed. The message names it and ends with its last lines."""


class CheckFailed(Exception):
    """A model or a result failed a check that guards everything after it; the message says which and by how much."""
