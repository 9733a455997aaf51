"""The first page of the report: the results of a run in numbers, one picture and tables; then settings and versions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from genestill.core.configuration import read_yaml
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.kinds import named
from genestill.core.provenance import find_record
from genestill.core.recipes import target_of
from genestill.core.table_schemas import METRICS
from genestill.core.tables import read_table
from genestill.evaluation.benchmark_table import MEANS, read_comparison
from genestill.evaluation.novelty import ledger_tables, novelty_sentence, read_ledger
from genestill.evaluation.outcomes import ABSENT, ENDS, NAMED, UNDECIDED, Outcomes, draw_outcomes, read_outcomes
from genestill.evaluation.pages import Block, Downloads, Folded, Heading, Numbers, Picture, Table, write_page
from genestill.evaluation.taxonomy_table import read_taxonomy_metrics

_SHOWN_GROUPS = 10
_SHOWN_SAMPLES = 8
_SHOWN_WARNINGS = 200
_COMPARED_RANKS = ("species", "genus", "family")
_MEAN = "mean of tasks"
_WARNING = re.compile(r"\d\d:\d\d:\d\d WARNING (.*)")
# Libraries whose versions are shown in the report; others are only in the records of provenance.
_TOLD_LIBRARIES = ("numpy", "scikit-learn", "snakemake", "torch", "transformers")


@dataclass(frozen=True)
class Run:
    """The files of a run from which its first page is made.

    Attributes:
        recipe, dataset: of the run.
        configuration: the effective configuration, as YAML; None or missing if the workflow is a module of another.
        logs: folder of the run's logs.
        facts: JSON objects, by name, with the size of the reference and versions of programs.
        citations: file in the Citation File Format; None or missing if only the workflow was copied.
        downloads: path -> description of files for download.
        predictions, index, abundance: contigs with their predictions; None if there are none.
        metrics: table of `table_schemas.METRICS`; None without a truth.
        comparison: file written by `benchmark.gather_benchmark`.
        student: the model with which the others are compared, in taxonomy and its benchmark.
        ledger: folder written by ``student novelty``; its sentence comes first.
        picture: an SVG file; for contigs, `outcomes.draw_outcomes` draws one.
    """

    recipe: str
    dataset: str
    configuration: str | Path | None
    logs: str | Path
    citations: str | Path | None
    facts: dict[str, str | Path] = field(default_factory=dict)
    downloads: Sequence[tuple[Path, str]] = ()
    predictions: str | Path | None = None
    index: str | Path | None = None
    abundance: str | Path | None = None
    metrics: str | Path | None = None
    comparison: str | Path | None = None
    student: str | None = None
    picture: str | Path | None = None
    ledger: str | Path | None = None


@dataclass(frozen=True)
class Difference:
    """The difference of two models (negative: below), with a 95 % interval; NaN if there is none."""

    model: str
    minus: str
    measure: str
    value: float
    low: float
    high: float

    @property
    def side(self) -> str:
        """On which side of 0 the interval is."""
        if pd.isna(self.low):
            return "no interval"
        return "above" if self.low > 0 else "below" if self.high < 0 else "inconclusive"

    def __str__(self):
        ends = "no interval" if pd.isna(self.low) else f"95 % interval {self.low:+.3f} to {self.high:+.3f}"
        return f"{self.model} minus {self.minus}, {self.measure}: {self.value:+.3f} ({ends}; {self.side})"


def write_summary(run: Run, output: str | Path) -> None:
    """Write the first page of the report of ``run``; for contigs also ``outcomes.svg`` and ``outcomes.tsv``."""
    output = Path(output)
    blocks: list[Block] = []
    ledger = None if run.ledger is None else read_ledger(run.ledger)
    if ledger is not None:
        blocks.append(novelty_sentence(ledger.shares))
    if run.predictions is not None and run.index is not None:
        outcomes = read_outcomes(run.predictions, run.index, run.abundance)
        reading = draw_outcomes(outcomes, output.parent)
        numbers, sentence, *tables = outcome_blocks(outcomes)
        blocks += [numbers, sentence, Picture(output.parent / "outcomes.svg", reading), *tables]
    if ledger is not None:
        blocks += ledger_tables(ledger)
    differences, figures = _differences(run)
    if differences:
        if not blocks:
            blocks += [Numbers(figures), f"{differences[0]}."]
        blocks.append(difference_table(differences))
    if run.picture is not None:
        blocks.append(Picture(Path(run.picture), "The scores of all models."))
    if run.downloads:
        blocks += [Heading("Tables to download"), Downloads([(Path(path), words) for path, words in run.downloads])]
    blocks += [
        Heading("Settings and versions"),
        *_facts(run.facts, run.predictions or run.metrics),
        _warnings(run.logs),
    ]
    if run.configuration is not None and Path(run.configuration).is_file():
        blocks.append(Folded("Settings", [_settings_table(_read_sections(run.configuration))]))
    if run.citations is not None and Path(run.citations).is_file():
        blocks.append(Folded("Please cite", [_citations(run.citations, target_of(run.recipe))]))
    write_page(output, f"{run.dataset}: results of the run", blocks)


def outcome_blocks(outcomes: Outcomes) -> list[Block]:
    """Results for contigs, in numbers and two tables: the depth of lineages, and groups without a name."""
    total, bases = len(outcomes.outcome), outcomes.lengths.sum() / 1e6
    absent = outcomes.count(*ABSENT.values())

    def of(count: int) -> str:
        share = count / max(1, total)
        return f"{'<1%' if 0 < share < 0.005 else f'{share:.0%}'} of the contigs"

    numbers = [(f"{total:,}", f"contigs, {bases:,.1f} Mb, {_samples(outcomes)}")]
    numbers.append((f"{(count := outcomes.count(NAMED)):,}", f"named to species, {of(count)}"))
    for words in ABSENT.values():
        if count := outcomes.count(words):
            numbers.append((f"{count:,}", f"{words}, {of(count)}"))
    for words, told in ((UNDECIDED, "undecided: the evidence supports several names or none"), (ENDS, ENDS)):
        if count := outcomes.count(words):
            numbers.append((f"{count:,}", f"{told}, {of(count)}"))
    sentence = (
        f"{outcomes.count(NAMED):,} of {total:,} contigs are named to species; {absent:,} stop above because the "
        f"reference has nothing closer, {outcomes.count(UNDECIDED):,} because the evidence is inconclusive."
    )
    shares = outcomes.shares()
    columns = [*shares.columns[:5], *outcomes.samples[:_SHOWN_SAMPLES]] if len(outcomes.samples) > 1 else shares.columns
    rows = [
        [
            row["outcome"],
            f"{row['contigs']:,}",
            f"{row['contigs, share']:.1%}",
            f"{row['megabases']:,.2f}",
            *(f"{row[name]:.1%}" for name in columns[4:]),
        ]
        for _, row in shares.iterrows()
    ]
    headings = ["outcome", "contigs", "share of contigs", "Mb", "share of bases sequenced", *columns[5:]]
    title = "Lowest rank at which contigs are named, and why they stop there"
    if len(outcomes.samples) > _SHOWN_SAMPLES:
        title += f" (the first {_SHOWN_SAMPLES} of {len(outcomes.samples)} samples; outcomes.tsv has all)"
    blocks: list[Block] = [Numbers(numbers), sentence, Table(headings, rows, title)]
    if len(outcomes.groups):
        shown = outcomes.groups.head(_SHOWN_GROUPS)
        rows = [
            [row.rank, row.within, row.nearest, f"{row.contigs:,}", f"{row.megabases:,.2f}", f"{row.share:.1%}"]
            for row in shown.itertuples()
        ]
        title = f"Largest of {len(outcomes.groups)} groups of contigs without a name in the reference"
        headings = ["missing rank", "within", "nearest name in the reference", "contigs", "Mb", "share of bases"]
        blocks.append(Table(headings, rows, title))
        blocks.append(
            "A group contains contigs that stop at the same taxon with the same nearest name; it may contain several "
            "organisms."
        )
    return blocks


def _samples(outcomes: Outcomes) -> str:
    return "depths unknown" if outcomes.samples == ["all contigs"] else f"{len(outcomes.samples)} samples"


def _differences(run: Run) -> tuple[list[Difference], list[tuple[str, str]]]:
    if run.comparison is not None and run.metrics is not None and run.student is not None:
        return benchmark_differences(run.comparison, run.metrics, run.student)
    if run.metrics is None:
        return [], []
    if target_of(run.recipe) == "taxdistill":
        return taxonomy_differences(run.metrics, run.student), []
    return task_differences(read_table(run.metrics, METRICS))


def taxonomy_differences(metrics: str | Path, student: str | None) -> list[Difference]:
    """F1 of ``student`` minus that of each other model, at the main ranks; empty if unknown."""
    table = read_taxonomy_metrics(metrics)
    rows = table[(table["model"] == student) & (table["minus"] != "") & (table["metric"] == "f1")]
    rows = rows[rows["stratum"].isin(["all", "no exact"]) & rows["task"].isin(_COMPARED_RANKS)]
    rows = rows.assign(order=rows["task"].map(_COMPARED_RANKS.index)).sort_values(["stratum", "order"], kind="stable")
    where = {"all": "", "no exact": ", without exact copies of reference genomes"}
    return [
        Difference(row.model, row.minus, f"F1 at {row.task}{where[row.stratum]}", row.value, row.low, row.high)
        for row in rows.itertuples()
    ]


def task_differences(metrics: pd.DataFrame) -> tuple[list[Difference], list[tuple[str, str]]]:
    """Mean score over tasks of each student minus the strongest baseline, the best student first; and the numbers.

    If the run has no comparison with the strongest baseline, the comparisons that it has are used.
    """
    rows = metrics[(metrics["task"] == _MEAN) & (metrics["metric"] == "own") & metrics["seed"].isna()]
    rows = rows[rows["stratum"].fillna("test") == "test"]
    rows = rows.assign(name=[named(*pair) for pair in zip(rows["model"], rows["variant"], strict=True)])
    # Students combined with features of a baseline come after those without.
    rows = rows.assign(alone=~rows["variant"].fillna("").str.contains("with="))
    own = rows[rows["minus"] == ""].set_index("name")
    baselines = own[own["kind"] == "baseline"].sort_values("value", ascending=False)
    students = own[own["kind"].isin(["student", "combined"])]
    students = students.sort_values(["alone", "value"], ascending=False)
    compared = rows[(rows["minus"] != "") & rows["name"].isin(students.index)]
    strongest = baselines.index[0] if len(baselines) else None
    if strongest in set(compared["minus"]):
        compared = compared[compared["minus"] == strongest]
    compared = compared.assign(order=compared["name"].map(list(students.index).index)).sort_values("order")
    found = [
        Difference(row.name, row.minus, "mean score over tasks", row.value, row.low, row.high)
        for row in compared.drop(columns="name").assign(name=compared["name"]).itertuples(index=False)
    ]
    numbers = []
    for words, table in (("best student", students), ("strongest baseline", baselines)):
        if len(table):
            row = table.iloc[0]
            numbers.append((f"{row['value']:.3f}", f"mean score over tasks, {words}: {table.index[0]}"))
    if found:
        numbers.append((f"{found[0].value:+.3f}", f"{found[0].model} minus {found[0].minus}: {found[0].side}"))
    return found, numbers


def benchmark_differences(
    comparison: str | Path, metrics: str | Path, ours: str
) -> tuple[list[Difference], list[tuple[str, str]]]:
    """F1 at species of ``ours`` minus the strongest baseline or peer, for each mean over communities; and the numbers.

    Models have their own thresholds; the strongest is chosen on the same contigs.
    """
    table = read_comparison(comparison)
    kinds = read_table(metrics, METRICS).drop_duplicates("model").set_index("model")["kind"]
    table = table[(table["rank"] == "species") & (table["threshold"] == "own") & table["scope"].isin(MEANS)]
    found, numbers = [], []
    for (stratum, scope), part in table.groupby(["stratum", "scope"], sort=False):
        others = part[part["model"].map(kinds).isin(["baseline", "peer"])].sort_values("f1", ascending=False)
        measure = f"F1 at species, {scope} communities" + ("" if stratum == "all" else f", {stratum}")
        for row in others.head(1).itertuples():
            found.append(Difference(ours, row.model, measure, row.gain, row.gain_low, row.gain_high))
        own = part[part["model"] == ours]
        if len(own):
            numbers.append((f"{own['f1'].iloc[0]:.3f}", f"{ours}, {measure}"))
    return found, numbers


def difference_table(differences: Sequence[Difference]) -> Table:
    """The differences, one per row."""
    rows = [
        [
            one.model,
            one.minus,
            one.measure,
            f"{one.value:+.3f}",
            "-" if pd.isna(one.low) else f"{one.low:+.3f} to {one.high:+.3f}",
            one.side,
        ]
        for one in differences
    ]
    return Table(["model", "minus", "measure", "difference", "95 % interval", "model is"], rows, "Differences")


def _versions(made: str | Path | None) -> list[list[str]]:
    """Programs and versions from the record of the command that wrote ``made``; empty without a record."""
    if made is None:
        return []
    # The record of a command with several outputs is beside the first.
    place = find_record(made) or next(iter(sorted((Path(made).parent / "provenance").glob("*.json"))), None)
    if place is None:
        return []
    record = read_json(place)
    rows = [["genestill", f"{record['genestill']}, commit {(record.get('commit') or 'unknown')[:12]}"]]
    rows.append(["Python", record["python"]])
    return rows + [[name, version] for name, version in record["libraries"].items() if name in _TOLD_LIBRARIES]


def _facts(facts: dict[str, str | Path], made: str | Path | None) -> list[Block]:
    rows, sizes = _versions(made), []
    for name, path in facts.items():
        if not Path(path).is_file():
            continue
        for key, value in read_json(path).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                sizes.append([name, key.replace("_", " "), f"{value:,}"])
            elif key in ("mmseqs2", "pyrodigal"):
                rows.append([{"mmseqs2": "MMseqs2", "pyrodigal": "Pyrodigal"}[key], str(value)])
    found = [[program, version] for program, version in dict(rows).items()]
    blocks: list[Block] = [Table(["part", "what", "number"], sizes, "Size of the reference")] if sizes else []
    return blocks + ([Folded("Versions", [Table(["program", "version"], found)])] if found else [])


def _read_sections(path) -> dict:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: {str(content)[:40]!r}; expected keys and values")
    return content


def _settings_table(settings: dict) -> Table:
    rows = []

    def walk(value, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, below in value.items():
                walk(below, f"{path}.{key}" if path else str(key))
        else:
            shown = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
            rows.append([path, shown.removesuffix("...\n").strip()])

    walk(settings, "")
    return Table(["setting", "value"], rows, "The effective configuration, including defaults")


def _warnings(logs: str | Path) -> Block:
    """Warnings in the logs of a run, without repetitions, with the step of each."""
    found: dict[tuple[str, str], None] = {}
    for path in sorted(Path(logs).rglob("*.log")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if warning := _WARNING.match(line):
                found[f"{path.parent.name}: {path.stem}", warning[1]] = None
    if not found:
        return "There were no warnings."
    rows = [list(pair) for pair in found][:_SHOWN_WARNINGS]
    return Folded(f"Warnings ({len(found)})", [Table(["step", "warning"], rows)])


def _citations(path: str | Path, target: str) -> Table:
    """The paper of the recipe and the tools, from a file in the Citation File Format."""
    rows = []
    for reference in _read_sections(path).get("references", []):
        notes = reference.get("notes", "")
        if notes.startswith("Recipe ") and not re.match(rf"Recipe {target}\b", notes):
            continue
        authors = [one.get("family-names") or one["name"] for one in reference["authors"]]
        where = reference.get("doi") or reference.get("url", "")
        rows.append([", ".join(authors), str(reference.get("year", "")), reference["title"], where])
    return Table(["authors", "year", "title", "where"], rows)
