"""The page of output files describes what the rules and the program actually write."""

import gzip
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings import types as settings

from genestill.cli import main
from genestill.core import table_schemas
from genestill.core.lineage import RANKS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "hooks"))
outputs = pytest.importorskip("generate_outputs", reason="mkdocs comes with the extra docs")

SIZES = shlex.split(
    "--phyla 2 --classes 2 --orders 2 --families 3 --genera 4 --species 6 --genomes 8 --genome-length 30000"
)
SCHEMAS = sorted(name for name, value in vars(table_schemas).items() if isinstance(value, pa.Schema))


def patterns(*keys):
    """(regular expression, entry) of every place that the page names; ``in``: folders that a rule makes as a whole."""
    return [
        (outputs.pattern(place), entry)
        for entry in outputs.entries()
        for place in [*outputs.places(entry), *(entry[key] for key in keys if key in entry)]
    ]


def outputs_of_rules() -> list[tuple[str, str]]:
    """(rule, path under the results) of every output in workflow/rules, wildcards as words."""
    with SnakemakeApi(settings.OutputSettings(quiet={settings.Quietness.ALL})) as snakemake:
        workflow = snakemake.workflow(
            resource_settings=settings.ResourceSettings(cores=1),
            config_settings=settings.ConfigSettings(configfiles=[ROOT / "config" / "config.yaml"]),
            snakefile=ROOT / "Snakefile",
            workdir=ROOT,
        )
        found = [(rule.name, str(output)) for rule in workflow._workflow.rules for output in rule.output]
    inside = "results/taxdistill/demo/"
    return [
        (rule, one) for rule, path in found if path.startswith(inside) for one in spelt_out(path.removeprefix(inside))
    ]


def spelt_out(path: str) -> list[str]:
    """``{set,corpus|benchmark}`` becomes each of its words, any other wildcard its name."""
    wildcard = re.search(r"\{(\w+),?([^{}]*)\}", path)
    if not wildcard:
        return [path]
    name, constraint = wildcard.groups()
    words = constraint.split("|") if re.fullmatch(r"[\w-]+(\|[\w-]+)+", constraint) else [name]
    return [more for word in words for more in spelt_out(path[: wildcard.start()] + word + path[wildcard.end() :])]


def test_the_page_lists_every_output_of_every_rule():
    known = patterns("in")
    rules = outputs_of_rules()
    assert len(rules) > 80
    lacking = [
        f"{rule}: {path}"
        for rule, path in rules
        if not any(regex.fullmatch(path.removeprefix("new/")) for regex, _ in known)
    ]
    assert lacking == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_of_every_schema_has_a_meaning(name):
    for field in getattr(table_schemas, name):
        assert len(field.metadata[b"meaning"]) > 3, field.name


def test_every_schema_is_on_the_page():
    shown = {entry["schema"].rpartition(":")[2] for entry in outputs.entries() if "schema" in entry}
    functions = {"embeddings", "token_features"}
    assert shown - {"HITS_WITH_PLACES"} == (set(SCHEMAS) - {"HITS"}) | functions


def test_every_column_of_every_table_has_a_type_and_a_meaning():
    for entry in outputs.entries():
        for name, kind, unit, meaning in outputs.columns(entry) or []:
            assert kind, (entry["path"], name)
            assert isinstance(unit, str), (entry["path"], name)
            assert len(meaning) > 2, (entry["path"], name)


def test_the_page_shows_a_table_with_type_unit_and_meaning():
    page = outputs.page()
    assert "| `length` | int64 | base pairs | length of the sequence |" in page
    assert "| `PERCENTAGE` | number | percent |" in page
    assert "| `confidence_species` | float32 | probability |" in page


def complaints(results: Path) -> list[str]:
    """Content of a results folder that the page omits or describes differently."""
    known = patterns()
    found = []
    for file in sorted(path for path in results.rglob("*") if path.is_file() and not path.name.startswith(".")):
        path = file.relative_to(results).as_posix().removeprefix("new/")
        if "/provenance/" in f"/{path}":
            continue
        fitting = [entry for regex, entry in known if regex.fullmatch(path)]
        if not fitting:
            found.append(f"{path}: not on the page")
        # A file that is named explicitly is described there; a pattern (*.tsv) only catches the rest.
        described = [wanted for entry in fitting if (wanted := outputs.columns(entry))]
        if described and (wrong := difference(file, described[0])):
            found.append(f"{path}: {wrong}")
    return found


def difference(file: Path, wanted: list[tuple]) -> str:
    """How the columns of ``file`` differ from those described; empty if they do not."""
    names = [name for name, *_ in wanted]
    if file.suffix == ".parquet":
        here = pq.read_schema(file).names
    else:
        here = header(file)
        if here is None:
            return ""
    # <sample> stands for any number of columns.
    expected = "".join(r"(?:[^\t]+\t)*" if name[0] == "<" else re.escape(name) + r"\t" for name in names)
    return "" if re.fullmatch(expected, "".join(f"{name}\t" for name in here)) else f"columns {here}; described {names}"


def header(file: Path) -> list[str] | None:
    """The names of the columns of a text table; None for a format without them, or an empty file."""
    content = file.read_bytes()
    lines = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8").splitlines()
    if file.suffix in (".binning", ".profile"):
        return next(line for line in lines if line.startswith("@@")).removeprefix("@@").split("\t")
    headless = file.name in ("kraken.report", "krona.txt") or not lines or lines == [""]
    return None if headless else lines[0].split("\t")


def run(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A small run of the recipe taxdistill by its commands, without a search and without a teacher."""
    place = tmp_path_factory.mktemp("results")
    reference, labels, student = place / "reference", place / "labels", place / "student" / "corrector"
    evaluation, community = place / "evaluation" / "corrector", place / "reference" / "community"
    run("reference", "simulate-genomes", *SIZES, "--output", reference / "simulated_genomes")
    genomes = ["--genomes", reference / "simulated_genomes" / "genomes.tsv"]
    run("reference", "community", *genomes, "--samples", 2, "--contigs", 60, "--output", community)
    truth = pd.read_csv(community / "truth.tsv", sep="\t")
    truth.assign(predictions=truth["lineage"])[["contig", "predictions"]].rename(columns={"contig": "contigs"}).to_csv(
        place / "given.tsv", sep="\t", index=False
    )
    index, abundance = reference / "contigs.parquet", reference / "abundance.parquet"
    run(
        "reference", "contigs", "--contigs", community / "contigs.fna.gz", "--abundance", community / "abundance.tsv",
        "--truth", community / "truth.tsv", "--output-truth", reference / "truth.parquet",
        "--output-index", index, "--output-abundance", abundance, "--output-vamb", reference / "abundance.tsv",
    )  # fmt: skip
    taxonomy = reference / "taxonomy"
    run("reference", "taxonomy", *genomes, "--output", taxonomy)
    run(
        "labels", "import", "--labels", place / "given.tsv", "--format", "taxometer", "--index", index,
        "--taxonomy", taxonomy, "--output-labels", labels / "labels.parquet", "--output-tsv", labels / "labels.tsv",
        "--output-summary", labels / "summary.json",
    )  # fmt: skip
    (place / "given.tsv").unlink()
    table, tree = labels / "labels.parquet", labels / "label_tree.tsv"
    run("labels", "tree", "--taxonomy", taxonomy, "--labels", table, "--other-children", "--output", tree)
    run(
        "student", "train-corrector", "--contigs", community / "contigs.fna.gz", "--index", index,
        "--abundance", abundance, "--labels", table, "--tree", tree, "--taxonomy", taxonomy, "--epochs", 2,
        "--output-model", student / "model", "--output-probabilities", student / "probabilities.parquet",
    )  # fmt: skip
    predictions = student / "predictions.parquet"
    run("student", "accept", "--probabilities", student / "probabilities.parquet", "--output", predictions)
    run(
        "student", "export", "--predictions", predictions, "--index", index, "--abundance", abundance,
        "--taxonomy", taxonomy, "--name", "small", "--output", student / "export",
    )  # fmt: skip
    scored = ["--truth", reference / "truth.parquet", "--labels", table, "--student", f"corrector={predictions}"]
    metrics = evaluation / "metrics.parquet"
    run("evaluation", "taxonomy", *scored, "--dataset", "small", "--resamples", 100, "--output", metrics)
    run("evaluation", "taxonomy-table", "--metrics", metrics, "--output", evaluation / "table.txt")
    run(
        "evaluation", "taxonomy-figures", "--metrics", metrics, *scored, "--index", index, "--abundance", abundance,
        "--output", evaluation / "figures",
    )  # fmt: skip
    return place


@pytest.fixture(scope="module")
def dna_results(tmp_path_factory):
    """A small run of the recipes for DNA by their commands."""
    place = tmp_path_factory.mktemp("dna")
    reference, student, scores = place / "reference", place / "student" / "plain", place / "evaluation/sequence_tasks"
    genomes = ["--genomes", reference / "simulated_genomes" / "genomes.tsv"]
    windows, task = reference / "windows.fna.gz", reference / "phylum.tsv.gz"
    run("reference", "simulate-genomes", *SIZES, "--output", reference / "simulated_genomes")
    run("reference", "windows", *genomes, "--length", 120, "--number", 200, "--output", windows)
    run("reference", "clade-task", *genomes, "--length", 120, "--output", task)
    run(
        "student", "pretrain-dna", "--sequences", windows, "--architecture", "had-tiny", "--steps", 2, "--batch", 4,
        "--max-tokens", 120, "--output-history", student / "history.tsv", "--output", student / "model",
    )  # fmt: skip
    run("student", "embed", windows, "--model", student / "model",
        "--output", student / "embeddings" / "origin" / "phylum.parquet")  # fmt: skip
    named = ["--task", task, "--task-name", "origin/phylum", "--name", "kmer"]
    predictions = scores / "predictions" / "origin" / "phylum" / "kmer.all.1.parquet"
    run("evaluation", "sequence-fit", "--kind", "kmer", *named, "--output", predictions)
    run(
        "evaluation", "sequence-scores", "--predictions", predictions, "--dataset", "small",
        "--catalogue", ROOT / "resources" / "sequence_tasks.tsv", "--output-metrics", scores / "metrics.parquet",
        "--output-table", scores / "table.tsv", "--output-figure", scores / "scores.svg",
    )  # fmt: skip
    return place


@pytest.fixture(scope="module")
def mrna_results(tmp_path_factory):
    """A small run of the recipe mrna by its commands; k-mers replace the teacher."""
    place = tmp_path_factory.mktemp("mrna")
    reference, student = place / "reference", place / "student" / "masked.seed1"
    transcriptome, probes = reference / "transcriptome", place / "evaluation" / "probes"
    run("reference", "simulate-transcriptome", "--genes", 60, "--output", transcriptome)
    source = f"genome={transcriptome}/genome.fna.gz,{transcriptome}/annotation.gtf"
    run("reference", "transcripts", "--source", source, "--output", reference / "transcripts")
    table = f"{transcriptome}/tasks.tsv:id=id,gene=gene,chromosome=chromosome"
    task = reference / "tasks" / "stability.parquet"
    run("reference", "task", "--name", "stability", "--table", table, "--target", "stability", "--kind", "regression",
        "--split", "default", "--output", task)  # fmt: skip
    run(
        "student", "distil-transcripts", "--transcripts", reference / "transcripts" / "transcripts.parquet",
        "--objective", "masked", "--parameters", 20000, "--backbone", "transformer", "--max-length", 128,
        "--steps", 20, "--batch-bases", 512, "--output", student,
    )  # fmt: skip
    for name, longest in (("teacher", 3), ("kmers", 2)):
        run(
            "evaluation", "probe", "--tasks", task, "--shortest", 1, "--longest", longest, "--model", name,
            "--dataset", "small", "--split-seeds", 1, "--output-metrics", probes / name / "metrics.parquet",
            "--output-predictions", probes / name / "predictions.parquet",
        )  # fmt: skip
    predictions = [probes / name / "predictions.parquet" for name in ("teacher", "kmers")]
    run("evaluation", "probe-table", "--predictions", *predictions, "--teacher", "teacher", "--baselines", "kmers",
        "--student", "teacher", "--training", f"masked@1={student}", "--replicates", 100, "--dataset", "small",
        "--baseline-metrics", probes / "kmers" / "metrics.parquet",
        "--output", place / "evaluation" / "mrna")  # fmt: skip
    return place


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["results", "dna_results", "mrna_results"])
def test_the_program_writes_what_the_page_describes(recipe, request):
    assert complaints(request.getfixturevalue(recipe)) == []


@pytest.mark.slow
def test_the_formats_of_other_tools_are_among_the_compared_files(results):
    files = {path.name for path in results.rglob("*") if path.is_file()}
    for written in ("predictions.tsv", "small.binning", "small.profile", "kraken.report", "krona.txt", "training.tsv"):
        assert written in files


@pytest.mark.slow
def test_formats_without_a_header_have_the_fields_on_the_page(results):
    export = results / "student" / "corrector" / "export"
    fields = {entry["path"].rpartition("/")[2]: entry["fields"] for entry in outputs.entries() if "fields" in entry}
    kraken = [line.split("\t") for line in (export / "kraken.report").read_text().splitlines()]
    assert {len(row) for row in kraken} == {len(fields["kraken.report"])}
    assert {row[3] for row in kraken} <= set("URDPCOFGS")
    krona = [line.split("\t") for line in (export / "krona.txt").read_text().splitlines()]
    assert all(float(row[0]) > 0 for row in krona)
    assert max(map(len, krona)) == 1 + len(RANKS)
    profile = (export / "small.profile").read_text().splitlines()
    assert profile[3].removeprefix("@@").split("\t") == list(fields["<dataset>.profile"])


def test_an_undescribed_column_is_reported(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "labels.tsv").write_text("contigs\tprediction\n")
    (tmp_path / "labels" / "more.tsv").write_text("a\n")
    assert [line.split(":")[0] for line in complaints(tmp_path)] == ["labels/labels.tsv", "labels/more.tsv"]


def test_paths_of_results_in_the_documentation_are_on_the_page():
    known = [place for entry in outputs.entries() for place in [*outputs.places(entry), entry.get("in", "")]]
    # A file, or a folder on the way to one.
    regexes = [
        outputs.pattern("/".join(place.split("/")[:depth]))
        for place in known
        for depth in range(1, place.count("/") + 2)
    ]
    stages = "reference|labels|teacher|student|evaluation"
    lacking = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for path in re.findall(rf"`(?:results/[\w<>-]+/[\w<>-]+/)?((?:{stages})/[^`\s]+)`", page.read_text("utf-8")):
            # reference/outputs.md and the like are pages; student/encoders/ and the like are packages.
            if path.endswith((".md", ".py")) or (ROOT / "src" / "genestill" / path).exists():
                continue
            if not any(regex.fullmatch(path.rstrip("/")) for regex in regexes):
                lacking.setdefault(page.name, []).append(path)
    assert lacking == {}
