"""The commands of the student stage."""

from genestill.student.corrector.commands import add_commands as add_corrector_commands
from genestill.student.dna.commands import add_commands as add_dna_commands
from genestill.student.encoder_commands import add_commands as add_encoder_commands
from genestill.student.model_card_commands import add_commands as add_card_commands
from genestill.student.transcripts.commands import add_commands as add_transcript_commands


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill student``."""
    add_corrector_commands(commands)
    add_dna_commands(commands)
    add_transcript_commands(commands)
    add_encoder_commands(commands)
    add_card_commands(commands)
