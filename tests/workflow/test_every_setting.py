"""After a finished run, every key of the schemas is changed in turn, and the plan contains what the key affects.

A finished run is simulated: Snakemake marks every job as done, and the files are empty. That takes a second instead
of minutes, so whole recipes, benchmarks and user data sets are planned again for every key. The keyword
``affects`` of a schema names the first rules whose results depend on a key; all rules downstream of them follow.
"""

import contextlib
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from docs.test_configuration_reference import SCHEMAS as EXPANDED
from docs.test_configuration_reference import turned
from genestill.core.configuration import effective_configuration, merge, read_yaml
from genestill.core.contents import content_checksum
from genestill.core.errors import InputError
from genestill.core.settings import expand
from genestill.preflight import accept
from snakemake_in_process import build, make, parsed_once, pretend
from snakemake_process import ROOT

RECIPES, SCHEMAS = ROOT / "config" / "recipes", ROOT / "workflow" / "schemas"


@dataclass(frozen=True)
class Key:
    """A key of the configuration: its path, its value after completion, its schema, what it affects."""

    place: tuple[str, ...]
    value: object
    schema: dict
    affects: tuple[str, ...] | None

    entry: str = ""  # the name of the entry that it belongs to, of those that the user names


def keys_of(completed: dict) -> Iterator[Key]:
    """Every key that the recipe of a completed configuration reads; of named entries the first represents all."""
    recipe = completed["recipe"]
    top = read_yaml(SCHEMAS / "config.schema.yaml")
    for section, schema in top["properties"].items():
        file = SCHEMAS / f"{section}.schema.yaml"
        if section in read_sections(recipe):
            whole = expand(read_yaml(file)) if file.is_file() else schema
            yield from _keys(completed.get(section), whole, (section,), None, recipe)


def read_sections(recipe: str) -> tuple[str, ...]:
    return ("recipe", "seed", "dataset", *read_yaml(RECIPES / f"{recipe}.yaml")["sections"])


def _keys(value, schema: dict, place: tuple[str, ...], affects, recipe: str, beside=None) -> Iterator[Key]:
    affects = schema.get("affects", affects)
    if recipe not in schema.get("recipes", [recipe]):
        return
    named = schema.get("additionalProperties")
    if "properties" in schema and not isinstance(named, dict):
        for key, child in schema["properties"].items():
            inner = value.get(key) if isinstance(value, dict) else None
            beside = value.get("defaults") if isinstance(value, dict) else None
            yield from _keys(inner, child, (*place, key), affects, recipe, beside)
        return
    yield Key(place, value, schema, (affects,) if isinstance(affects, str) else affects and tuple(affects))
    if isinstance(named, dict) and isinstance(named.get("properties"), dict) and isinstance(value, dict):
        for name, entry in list(value.items())[:1]:
            for key, child in named["properties"].items():
                inner = entry.get(key, (beside or {}).get(key)) if isinstance(entry, dict) else None
                for one in _keys(inner, child, (*place, name, key), named.get("affects", affects), recipe):
                    yield replace(one, entry=name)


# Values for keys whose schema does not tell which other value would be accepted, by the end of the key's name.
OTHER = {
    "recipe": [],
    "dataset.name": ["other"],
    "dataset.contigs": ["other/contigs.fna"],
    "dataset.abundance": ["other/abundance.tsv"],
    "dataset.bam": [["files/one.bam"]],
    "dataset.labels": ["other/labels.tsv"],
    "dataset.set_aside": [["files/set_aside.tsv"]],
    "dataset.truth": ["other/truth.tsv"],
    "reference.genomes": ["other/genomes.tsv"],
    "reference.genomes_folder": ["other"],
    "reference.lineage_column": ["other_lineage"],
    "reference.taxdump": ["other"],
    "reference.database": ["files/database", "other/database"],
    "reference.withheld": ["files/withheld.tsv"],
    "reference.eukaryotes": ["files/eukaryotes.fna"],
    "reference.community.exact": [{"exact": 0.57, "known": 0.19}],
    "reference.community.known": [{"exact": 0.57, "known": 0.19}],
    "reference.community.species": [{"exact": 0.57, "species": 0.13}],
    "reference.community.genus": [{"exact": 0.57, "genus": 0.09}],
    "reference.community.family": [{"exact": 0.57, "family": 0.05}],
    "teacher.name": ["other"],
    "teacher.model": ["files/model", "nucleotide-transformer-v2-50m"],
    "teacher.revision": ["0" * 40],
    "teacher.embeddings": [{"contigs": "other/embeddings.parquet"}],
    "teacher.gpu_model": ["a100"],
    "teacher.pooling": ["max"],
    "teacher.pretraining.context": [128],
    "teacher.pretraining.layers": [5],
    "mrna.defaults.parameters": [20_000],
    "mrna.students.<name>.parameters": [20_000],
    "mrna.species": [{"one": ["genome"]}, {"one": ["mine"]}],
    "mrna.baselines": [{"codons": {"features": "codons"}}],
    "mrna.tasks": [{"coding": {"kind": "classification", "classes": ["files/other.tsv", "other/other.tsv"]}}],
    "dna.tasks": [{"gue/mouse_0": "files/other.tsv", "gue/mouse_1": "files/task.tsv"}],
    "evaluation.predictions": [
        {"other": "files/other.tsv"}, {"other": {"origin/phylum": "files/other.tsv"}},
    ],
    "dna.students.<name>.evaluation_methods": [["probe", "full", "lora"]],
    "teacher.admission": ["stop"],
    "teacher.pretraining.hidden_size": [256],
    "teacher.pretraining.heads": [2],
    "student.name": ["other"],
    "evaluation.labels_name": ["Search"],
    "evaluation.published": ["files/published.tsv"],
    "evaluation.thresholds": ["files/thresholds.tsv"],
    "mrna.students.<name>.objective": ["mse+relational"],
    "mrna.defaults.objective": ["mse+relational"],
    "dna.windows.clade": ["d__Bacteria;p__One"],
    "dna.defaults.objective": ["alignment+0.5*reconstruction"],
    "dna.students.<name>.objective": ["alignment+0.5*reconstruction"],
    "dna.defaults.initial": [],
    "dna.students.<name>.initial": ["files/model"],
    "dna.students.<name>.teacher": ["random"],
    "dna.students.<name>.pooling": ["max"],
    "dna.students.<name>.training_rows": [[4]],
    "dna.windows.genomes": [["other/genomes.tsv"]],
    "dna.windows.shortest": [100],
    "dna.admission_tasks": [["gue/mouse_0"]],
    "dna.questions.<name>.tasks": [["gue/mouse_0"]],
    "dna.by_method": [{"full": {"epochs": 3}}],
    "dna.corpora": [{"long": {"length": 250}}],
    "dna.maximum_training_rows": [100],
    "dna.maximum_test_rows": [100],
    "dna.task_epochs": [{"origin/phylum": 3}, {"gue/mouse_0": 3}],
    "dna.compared_with": [None, "linear"],
    "teacher.layer": [0],
    "dna.questions.<name>.model": ["undistilled", "pretrained"],
    "dna.questions.<name>.minus": ["linear"],
    "dna.seeds": [[1, 2, 3]],
    "dna.trainings": [2],
    "dna.teacher_features": ["computed"],
    "benchmark.communities": [],
}  # fmt: skip


def pattern_of(key: Key) -> str:
    """The key's name with <name> for a name that the user gives."""
    words, schema = [], None
    for word in key.place:
        if schema is None:
            file = SCHEMAS / f"{word}.schema.yaml"
            schema = expand(read_yaml(file)) if file.is_file() else {}
            words.append(word)
        elif word in schema.get("properties", {}):
            schema = schema["properties"][word]
            words.append(word)
        else:
            schema = schema.get("additionalProperties") or {}
            words.append("<name>")
    return ".".join(words)


def other_values(value, schema: dict) -> Iterator:
    """Values near ``value`` that a schema may accept; the complete check decides whether they are accepted."""
    for kind in [schema, *schema.get("anyOf", [])]:
        types = kind.get("type", ())
        types = [types] if isinstance(types, str) else types
        if "boolean" in types:
            yield not value
        yield from (one for one in kind.get("enum", ()) if one != value)
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 3
        if "integer" in types:
            yield from (number + 1, number * 2, number - 1)
        if "number" in types:
            yield from (number * 1.25, number / 2, number + 0.01, 0.25)
        if "array" in types and isinstance(value, (list, tuple)):
            first = value[0] if value else None
            yield from ([*value, one] for one in other_values(first, kind.get("items", {})) if one not in value)
            yield list(value)[:-1]
        if "object" in types and isinstance(value, dict):
            if value:
                yield value | {"another": copy.deepcopy(next(iter(value.values())))}
            named = kind.get("additionalProperties", {})
            inner = named.get("type", ()) if isinstance(named, dict) else ()
            if "integer" in inner:
                yield value | {"corrector": 2}
            if "string" in inner:
                yield value | {"another": "files/other.tsv"}
        if "null" in types and value is not None:
            yield None


def changed(given: dict, place: tuple[str, ...], value) -> dict:
    """``given`` with another value at a path; a mapping for a key that has none sets the keys beside it."""
    configuration = copy.deepcopy(given)
    section = configuration
    for word in place[:-1]:
        if not isinstance(section.get(word), dict):
            section[word] = {}
        section = section[word]
    if isinstance(value, dict) and place[-1] in value:
        section |= value
    else:
        section[place[-1]] = value
    return configuration


def first_jobs(workflow, key: Key, finished: set[str], prefixes: tuple[str, ...]) -> set:
    """The jobs that a changed key affects first, of the rules that its schema names.

    Where some are new, those alone: another entry makes what belongs to it, and what was made stays. Of an entry with a
    name, the jobs that have the name, and those that are for all entries.
    """
    if key.affects == ("everything",):
        return {job for job in workflow.dag.jobs if not job.output or str(job.output[0]).startswith("results/")}
    of_rule = {}
    for job in workflow.dag.jobs:
        of_rule.setdefault(rule_of(job, prefixes), set()).add(job)
    chosen, new = set(), set()
    for jobs in (of_rule.get(rule, set()) for rule in key.affects):
        made = {job for job in jobs if job.output and str(job.output[0]) not in finished}
        named = {job for job in jobs if not key.entry or not job.wildcards_dict or is_named(job, key.entry)}
        chosen |= made or named
        new |= made
    return new if new and isinstance(key.schema.get("additionalProperties"), dict) else chosen


def is_named(job, name: str) -> bool:
    """Whether a job is one of an entry of the configuration: a student, perhaps with seed or number, or a baseline."""
    return any(word == name or word.startswith(f"{name}.") for word in job.wildcards_dict.values())


def rule_of(job, prefixes: tuple[str, ...]) -> str:
    """The name of a job's rule, without the community of a benchmark."""
    return re.sub(rf"^({'|'.join(prefixes) or '(?!)'})_", "", job.rule.name)


def followers(workflow, first: set) -> set:
    """``first``, and all jobs that read what they make."""
    dag, found = workflow.dag, set()
    for level in dag.toposorted():
        for job in level:
            if job in first or not found.isdisjoint(dag.dependencies[job]):
                found.add(job)
    return found


SIMULATED = read_yaml(ROOT / "config" / "test.yaml")
GIVEN = {
    "recipe": "taxdistill",
    "dataset": {
        "name": "given",
        "contigs": "files/contigs.fna",
        "abundance": "files/abundance.tsv",
        "truth": "files/truth.tsv",
    },
    "reference": {"genomes": "files/genomes.tsv", "genomes_folder": "files", "taxdump": "files"},
}
TRANSCRIPTS = "files/transcripts.tsv:sequence=s,id=i"
MRNA = {
    "recipe": "mrna",
    "dataset": {"name": "mrna"},
    "mrna": {
        "students": {
            "plain": {},
            "logits": {"objective": "logits"},
            "relatives": {"objective": "relatives"},
            "untrained": {"steps": 0},
        },
        "baselines": {"kmers-1-3": {"shortest": 1, "longest": 3}, "composition": {"features": "composition"}},
        "seeds": [1, 2],
    },
}
HAD = {
    "recipe": "had",
    "dataset": {"name": "had"},
    "dna": {"baselines": ["linear"], "learning_rates": [0.001], "seeds": [1, 2], "windows": {"length": 180}},
}
TARGETS = ["benchmark_taxonomy", "benchmark_virtual"]
# Runs that are finished before keys are changed, with their targets: every recipe, simulated and given data.
# A key is changed in a run that uses it in rules that no earlier run had.
RUNS = {
    "simulated": (SIMULATED | {"evaluation": {"predictions": {"mine": "files/mine.tsv"}, "amber": True}}, []),
    "given": (merge(GIVEN, {"evaluation": {"binning": True}}), []),
    "labels": (
        merge(GIVEN, {"dataset": {"labels": "files/labels.tsv", "abundance": None, "bam": ["files/two.bam"]}}),
        [],
    ),
    "assembled": (merge(SIMULATED, {"reference": {"assembled": True, "community": {"samples": 2}}}), []),
    "scores": (
        {
            "recipe": "taxdistill",
            "dataset": {"name": "scores", "truth": "files/truth.tsv"},
            "reference": {"taxdump": "files"},
            "evaluation": {"predictions": {"mine": "files/mine.tsv"}, "amber": True, "binning": True},
        },
        [],
    ),
    "published": (SIMULATED | {"recipe": "taxdistill-published", "student": {"epochs": 3}}, []),
    "named": (SIMULATED | {"teacher": {"model": "genomeocean-100m"}}, []),
    "benchmark": (
        merge(
            SIMULATED,
            {
                "evaluation": {"benchmark": {"corrector": 1, "taxdistill-published": 1, "taxometer": 1, "minimap2": 1}},
                "benchmark": {"communities": {"first": {}, "second": {"student": {"smallest_group": 30_000}}}},
            },
        ),
        TARGETS,
    ),
    "mrna": (MRNA, []),
    "transcripts": (
        merge(
            MRNA,
            {
                "mrna": {
                    "sources": {"mine": "files/transcripts.fna"},
                    "tasks": {"stability": {"table": TRANSCRIPTS, "target": "x", "kind": "regression"}},
                }
            },
        ),
        [],
    ),
    "had": (HAD, []),
    "tasks": (merge(HAD, {"dna": {"tasks": {"gue/mouse_0": "files/task.tsv", "gue/mouse_1": "other/task.tsv"}}}), []),
    "seqlens": (
        merge(
            HAD | {"recipe": "seqlens"},
            {
                "dna": {
                    "corpora": {"long": {"length": 240}},
                    "students": {"longer": {"method": "pretrain", "corpus": "long"}},
                }
            },
        ),
        [],
    ),
}  # fmt: skip
# Keys for which no run is planned again, and why.
NOT_CHANGED = {
    "dna.origin_tasks": "adds a task, with files of its own",
    "dna.protocol": "chooses seeds and folds, which are keys of their own",
    "dna.students.<name>.method": "a student of the other method has other settings",
    "recipe": "results of another recipe are others",
    "benchmark.<name>": "each community is a configuration of its own",
    "teacher.embeddings": "stored files are looked into, so that empty ones will not do",
    "labels.update_from": "asks for the kept search of another run",
    "dna.admission_tasks": "chooses among tasks",
    "dna.defaults.parameters": "goes with an architecture that is sized by it",
    "dna.students.<name>.parameters": "as above",
    "dna.students.<name>.learning_rates": "of a student that is fine-tuned, as dna.learning_rates",
    "dna.students.<name>.corpus": "names another key",
    "dna.students.<name>.tokens": "of deberta students alone",
    "dna.students.<name>.masking": "groups are of students of single bases alone, as dna.defaults.masking",
    "evaluation.predictions.<name>.format": "of one file, as evaluation.predictions",
    "evaluation.predictions.<name>.table": "of one file, as evaluation.predictions",
    "mrna.tasks.<name>.classes": "of one task, as mrna.tasks",
    "mrna.tasks.<name>.table": "of one task, as mrna.tasks",
    "mrna.tasks.<name>.target": "of one task, as mrna.tasks",
    "dna.defaults.initial": "every student would go on from one folder; students.<name>.initial is the same key",
}


# Keys whose reach depends on other keys: the rules that they name run again, and perhaps more than what follows.
AT_LEAST = re.compile(
    r"evaluation\.(amber|predictions)|mrna\.baselines$|dna\.(tasks|maximum_|by_method|students\.<name>\.(training_rows|pooling))"
)
# Keys that are read only where another one is given.
READ_WITH = {"labels.format": ("dataset", "labels"), "dna.corpora": ("dna", "corpora")}


def write_files(folder: Path) -> None:
    """Empty files under the names that configurations above give; rules are planned by names alone."""
    for place in ("files", "other"):
        (folder / place / "model").mkdir(parents=True)
        for name in (
            *("contigs.fna", "abundance.tsv", "labels.tsv", "truth.tsv", "genomes.tsv", "nodes.dmp", "names.dmp"),
            *("one.bam", "two.bam", "database", "database.dbtype", "withheld.tsv", "eukaryotes.fna", "published.tsv"),
            *(
                "set_aside.tsv",
                "thresholds.tsv",
                "mine.tsv",
                "other.tsv",
                "task.tsv",
                "transcripts.tsv",
                "transcripts.fna",
            ),
        ):
            (folder / place / name).touch()
        # Rules look into stored embeddings, to find the file of a set.
        pq.write_table(pa.table({"id": ["a"], "embedding": [[1.0, 2.0]]}), folder / place / "embeddings.parquet")


def accepted_change(given: dict, completed: dict, key: Key) -> dict | None:
    """The first configuration with another value of the key that the check before a run accepts."""
    name = pattern_of(key)
    for value in OTHER[name] if name in OTHER else other_values(key.value, key.schema):
        configuration = changed(given, key.place, value)
        with contextlib.suppress(InputError):
            if accept(configuration, ROOT) != completed:
                return configuration
    return None


# Snakemake leaves files of environments open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.workflow
def test_every_setting_reruns_what_it_affects_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    wrong, tried, every = [], {}, {}
    with parsed_once():
        for run, (given, targets) in RUNS.items():
            finished = finish(tmp_path, given, targets)
            prefixes = tuple(given.get("benchmark", {}).get("communities", ()))
            rules = {rule_of(job, prefixes) for job in finished.dag.jobs}
            outputs = {str(output) for job in finished.dag.jobs for output in job.output}
            completed = accept(given, ROOT)
            for key in keys_of(completed):
                name = pattern_of(key)
                every[name] = key
                read = {*(key.affects or ())} if is_read(name, completed) else set()
                reached = {*read, "none"} & {*rules, "none", "everything"}
                if name in NOT_CHANGED or name.startswith("dna.corpora") or reached <= tried.get(name, set()):
                    continue
                configuration = accepted_change(given, completed, key)
                if configuration is None:
                    continue
                tried.setdefault(name, set()).update(reached)
                workflow = build(tmp_path, configuration, targets)
                first = first_jobs(workflow, key, outputs, prefixes) if is_read(name, completed) else set()
                expected = followers(workflow, first)
                found = set(workflow.dag.needrun_jobs())
                # New outputs, which could not be stale, have to be made where an affected job reads them.
                expected |= {job for job in found if job.output and str(job.output[0]) not in outputs}
                if AT_LEAST.match(name):
                    found = found & expected
                    expected = found or first
                wrong += [f"{run}: {name}: {sentence}" for sentence in differences(found, expected, key)]
    assert [name for name, key in every.items() if key.affects is None] == [], "keys that do not say what they affect"
    corpora = {
        name for name in every if name.startswith("dna.corpora")
    }  # windows that only students with a name for them have
    left = every.keys() - tried.keys() - NOT_CHANGED.keys() - corpora
    assert sorted(left) == [], "keys without another value that is accepted"
    assert wrong == []


def is_read(name: str, completed: dict) -> bool:
    section, key = READ_WITH.get(name, (None, None))
    return section is None or bool(completed[section][key])


def finish(folder: Path, given: dict, targets: list[str]):
    """Simulate a finished run, and check that the same command finds nothing to do."""
    pretend(build(folder, given, targets))
    workflow = build(folder, given, targets)
    again = {job.rule.name: str(workflow.dag.reason(job)) for job in workflow.dag.needrun_jobs()}
    assert not again, f"what is finished runs again: {again}"
    return workflow


def differences(found: set, expected: set, key: Key) -> list[str]:
    """Sentences on rules, or for an entry with a name on jobs, that run and should not, or should and do not."""
    name = str if key.entry else lambda job: job.rule.name
    runs, should = set(map(name, found)), set(map(name, expected))
    return [f"{job} does not run" for job in sorted(should - runs)] + [f"{job} runs" for job in sorted(runs - should)]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize("run", ["simulated", "mrna", "had", "seqlens"])
def test_the_order_of_keys_and_explicit_defaults_rerun_nothing(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    given, targets = RUNS[run]
    whole = EXPANDED["config"] | {"properties": EXPANDED["config"]["properties"] | EXPANDED}
    with parsed_once():
        finish(tmp_path, given, targets)
        written = effective_configuration(accept(given, ROOT), RECIPES, SCHEMAS)
        for same in (turned(given, whole), written, turned(written, whole)):
            workflow = build(tmp_path, same, targets)
            assert {job.rule.name: str(workflow.dag.reason(job)) for job in workflow.dag.needrun_jobs()} == {}


SMALL = merge(
    SIMULATED,
    {
        "teacher": {
            "shards": 2,
            "pretraining": {"hidden_size": 32, "layers": 2, "heads": 4, "batch": 4, "steps": 4},
            "check": {"maximum_relative_loss": 0.9999, "windows": 8},
        },
        "student": {"epochs": 3},
    },
)
RESULTS = Path("results/taxdistill/test")
TEACHER = "teacher/miniature"
# Eleven keys, from the first stage to the last, so that no change makes again what an earlier one should have: another
# value, a result that it changes, and one that is kept as it is.
CHANGES = [
    ("reference.community.dropout", 0.3, "reference/community", "reference/simulated_genomes"),
    ("teacher.pretraining.learning_rate", 0.003, f"{TEACHER}/model", "reference/database"),
    ("teacher.batch_tokens", 2000, None, f"{TEACHER}/contigs/sequence/0.parquet"),
    ("teacher.layer", 1, f"{TEACHER}/contigs/sequence/0.parquet", f"{TEACHER}/model"),
    ("labels.hits", 5, "labels/hits.parquet", f"{TEACHER}/contigs/sequence/0.parquet"),
    ("teacher.folds", 4, f"{TEACHER}/soft_labels.parquet", "labels/hits.parquet"),
    ("student.epochs", 2, "student/corrector/predictions.parquet", f"{TEACHER}/soft_labels.parquet"),
    ("student.neighbours", False, "student/corrector/predictions.parquet", "student/corrector/novelty/groups.parquet"),
    ("student.threshold", 0.9, "student/corrector/predictions.parquet", "student/corrector/probabilities.parquet"),
    ("evaluation.resamples", 100, "evaluation/corrector/metrics.parquet", "student/corrector/model"),
    ("evaluation.labels_name", "Search", "evaluation/corrector/table.txt", "student/corrector/export"),
]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
@pytest.mark.workflow
def test_results_after_a_change_equal_those_of_a_run_from_scratch(tmp_path, monkeypatch):
    """One key after the other is changed and the run made again; at the end nothing of an earlier value is left."""
    configuration = SMALL
    with parsed_once():
        go_on(tmp_path / "changed", configuration, monkeypatch)
        for name, value, other, kept in CHANGES:
            before = {path: content_checksum(path) for path in map(str, (RESULTS / kept, RESULTS / (other or kept)))}
            configuration = changed(configuration, tuple(name.split(".")), value)
            made = go_on(tmp_path / "changed", configuration, monkeypatch)
            assert str(RESULTS / kept) not in made, name
            assert bool(made) == bool(other), (name, made)
            if other:
                assert content_checksum(RESULTS / other) != before[str(RESULTS / other)], name
        found = contents()
        go_on(tmp_path / "from nothing", configuration, monkeypatch)
        expected = contents()
    assert sorted(found) == sorted(expected)
    assert [file for file in expected if found[file] != expected[file]] == []
    assert len(expected) > 50


def go_on(folder: Path, configuration: dict, monkeypatch) -> list[str]:
    """Run what a configuration needs in ``folder``; return the outputs that were made."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return make(build(folder, configuration, []))


def contents() -> dict[str, str]:
    """Checksum of the content of every result, without records, logs and measurements of the runs."""
    return {
        str(file): content_checksum(file)
        for file in RESULTS.rglob("*")
        if file.is_file() and not {"provenance", "logs", "benchmarks"} & set(file.parts) and file.name[0] != "."
    }
