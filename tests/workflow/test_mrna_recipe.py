from pathlib import Path

import pandas as pd
import pytest

from genestill.core.configuration import complete_configuration, read_yaml
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.objectives import TRANSCRIPT_OBJECTIVES, parse_objective

ROOT = Path(__file__).parents[2]


def complete(settings: dict) -> dict:
    return complete_configuration(settings, ROOT / "config" / "recipes", ROOT / "workflow" / "schemas")


@pytest.mark.parametrize("name", ["mrna-demo", "mrna-real", "mrna-full", "mrna-published", "mrna-stability"])
def test_every_mrna_configuration_is_complete_and_names_known_objectives(name):
    mrna = complete(read_yaml(ROOT / "config" / f"{name}.yaml"))["mrna"]
    for student in mrna["students"].values():
        assert parse_objective(student["objective"], TRANSCRIPT_OBJECTIVES)


@pytest.mark.parametrize(
    ("mrna", "message"),
    [
        ({"students": {"a": {"backbone": "mamba"}}}, "mamba"),
        ({"tasks": {"a": {"kind": "ranking", "classes": ["0.fna", "1.fna"]}}}, "ranking"),
        ({"tasks": {"a": {"kind": "regression"}}}, "table"),
        ({"seed": [1]}, "seeds"),
        ({"baselines": {"k": {"longest": 12}}}, "12"),
        ({"beside": ["boosting"]}, "boosting"),
    ],
)
def test_mistakes_in_the_section_mrna_are_refused_with_the_key_name(mrna, message):
    with pytest.raises(InputError, match=message):
        complete({"recipe": "mrna", "dataset": {"name": "x"}, "mrna": mrna})


@pytest.mark.workflow
@pytest.mark.slow
def test_the_mrna_demo_runs_from_scratch_to_table_and_figures(run_documented_demo):
    folder = run_documented_demo("mrna", "mrna-demo")
    results = folder / "results/mrna/mrna-demo"
    table = pd.read_csv(results / "evaluation/mrna/table.tsv", sep="\t").set_index("model")
    assert set(table.index) == {"teacher", "embeddings", "logits", "untrained", "kmers-1-3", "composition"}
    assert {"stability", "localisation", "coding", "mean of tasks", "training"} == set(table["task"])
    # The retained fraction has no value where the teacher does not exceed the strongest baseline.
    assert table.loc[table["metric"] != "retained_fraction", "value"].notna().all()
    assert table.loc["untrained", "kind"].eq("control").all()
    stability = pd.read_csv(results / "evaluation/mrna/stability.tsv", sep="\t")
    assert len(stability) == 6
    assert read_json(results / "reference/overlap.json")["left out"] > 0
    for figure in ("scores.svg", "training.svg", "maps.svg"):
        assert (results / "evaluation/mrna" / figure).is_file()
    assert "## Figures" in (results / "release/embeddings/README.md").read_text(encoding="utf-8")
