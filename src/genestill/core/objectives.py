"""The terms of a student's loss, with their names in the setting ``objective``.

For a new term, add an entry here and a module of the same name: for transcripts
``student/transcripts/objectives/<name>.py`` with a function ``loss`` of a batch, for DNA
``student/dna/objectives/<name>.py`` with a module ``Loss``, which may have heads that are trained with the student.
Choices and descriptions of the configuration, the help of the command, the checks of a configuration and the requests
to the teacher are made from the entry.
"""

from dataclasses import dataclass

from genestill.core.errors import InputError


@dataclass(frozen=True)
class Objective:
    """One term.

    Attributes:
        matches: what the student is trained to match, for help and reference.
        needs: the required representation of the teacher, one of `recipes.REPRESENTATIONS`; None for none.
        hides_bases: whether some of the bases are hidden from the student, and the term is computed at these.
        pairs: whether each transcript is paired with a related one.
    """

    matches: str
    needs: str | None = None
    hides_bases: bool = False
    pairs: bool = False


TRANSCRIPT_OBJECTIVES = {
    "cosine": Objective("the direction of the teacher's embedding", needs="sequence"),
    "mse": Objective("the teacher's embedding, squared error", needs="sequence"),
    "relational": Objective("cosines between the embeddings of a batch", needs="sequence"),
    "contrastive": Objective("each transcript's own embedding among those of its batch", needs="sequence"),
    "token": Objective("the teacher's features of every token", needs="token"),
    "logits": Objective(
        "the teacher's probabilities of hidden bases", needs="base-log-probabilities", hides_bases=True
    ),
    "masked": Objective("hidden bases, without a teacher", hides_bases=True),
    "relatives": Objective(
        "each transcript's orthologue, isoform or itself with a shorter 3'UTR, without a teacher", pairs=True
    ),
}

DNA_OBJECTIVES = {
    "alignment": Objective("the teacher's features of its tokens, squared error", needs="token"),
    "reconstruction": Objective("masked bases, predicted by a decoder from visible tokens", hides_bases=True),
    "masked_bases": Objective("masked bases, predicted by a head from the student's states", hides_bases=True),
}


def describe_objectives(objectives: dict[str, Objective]) -> str:
    """The terms and what they match, as a sentence for the description of a setting."""
    terms = "; ".join(f"{name} ({objective.matches})" for name, objective in objectives.items())
    return f"Terms of the loss, with optional weights, for example {'+0.5*'.join(list(objectives)[:2])}: {terms}."


def parse_objective(text: str, objectives: dict[str, Objective]) -> dict[str, float]:
    """Parse a term or a sum such as ``mse+0.5*relational`` into term -> weight.

    Raises:
        InputError: a term that is not in ``objectives``, or a weight that is not a number above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split("+"):
        weight, _, name = (word.strip() for word in part.rpartition("*"))
        if name not in objectives:
            raise InputError(f"objective {text!r}: no term {name!r}; expected some of {', '.join(objectives)}")
        try:
            value = float(weight or 1)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            raise InputError(f"objective {text!r}: weight {weight!r}; expected a number above 0")
        weights[name] = weights.get(name, 0.0) + value
    return weights
