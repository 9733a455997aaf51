from pathlib import Path

import pytest

from genestill.core.errors import InputError
from genestill.core.objectives import DNA_OBJECTIVES, TRANSCRIPT_OBJECTIVES, describe_objectives, parse_objective
from genestill.core.recipes import REPRESENTATIONS
from genestill.student.dna import objectives as dna_modules
from genestill.student.transcripts import objectives as transcript_modules


def test_an_objective_is_a_sum_of_weighted_terms():
    expected = {"mse": 1.5, "relational": 0.5}
    assert parse_objective("mse+0.5*relational + 0.5*mse", TRANSCRIPT_OBJECTIVES) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cosinus", "no term 'cosinus'; expected some of cosine, "),
        ("", "no term ''"),
        ("x*mse", "weight 'x'; expected a number above 0"),
        ("0*mse", "weight '0'"),
        ("nan*mse", "weight 'nan'"),
        ("mse+-1*cosine", "weight '-1'"),
    ],
)
def test_an_objective_with_unknown_terms_or_without_a_weight_is_refused(text, words):
    with pytest.raises(InputError, match=words.replace("*", r"\*")):
        parse_objective(text, TRANSCRIPT_OBJECTIVES)


@pytest.mark.parametrize(
    ("registered", "package"),
    [(TRANSCRIPT_OBJECTIVES, transcript_modules), (DNA_OBJECTIVES, dna_modules)],
    ids=["transcripts", "dna"],
)
def test_every_term_is_described_and_has_a_module_with_its_name(registered, package):
    description = describe_objectives(registered)
    for name, objective in registered.items():
        assert f"{name} ({objective.matches})" in description
        assert objective.needs in (None, *REPRESENTATIONS)
    modules = {path.stem for path in Path(package.__path__[0]).glob("*.py")} - {"__init__"}
    assert modules == set(registered)
