"""The table of the ``mrna`` recipe, for people and for programs, and the answer to the instability question."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.kinds import named
from genestill.core.table_schemas import METRICS
from genestill.core.tables import write_table, write_tsv
from genestill.evaluation.pages import write_answer
from genestill.evaluation.probes.figures import draw_scores, draw_training
from genestill.evaluation.probes.probe import BESIDE, HEADLINE
from genestill.evaluation.probes.retained import (
    MEAN,
    best_baseline,
    bootstrap_scores,
    read_left_out,
    read_predictions,
    summarise,
    tabulate,
)


@dataclass(frozen=True)
class Training:
    """The folder that ``student distil-transcripts`` wrote: of which model, with which seed."""

    model: str
    seed: int
    folder: Path


def write_tables(
    predictions: Sequence[str | Path],
    dataset: str,
    teacher: str,
    baselines: Sequence[str],
    student: str,
    training: Sequence[Training],
    replicates: int,
    seed: int,
    output: str | Path,
) -> None:
    """Compare all models as they are fitted with blocks at equal variance, and show their other fits beside.

    Writes metrics.parquet, table.txt, .html and .tsv, scores.svg, and with ``training`` stability.tsv, training.svg.

    table.tsv holds the rows of metrics.parquet with the columns that differ.
    """
    output = Path(output)
    given = read_predictions(predictions)
    scores = bootstrap_scores(given, replicates, seed)
    pairs = student_pairs(given, student)
    teacher, student = _fair(given, teacher), _fair(given, student)
    baseline = best_baseline(scores, [_fair(given, name) for name in baselines])
    summary = summarise(scores, teacher, baseline, student, pairs=[*pairs.index])
    metrics = tabulate(given, scores, summary, dataset, bootstrap_scores(given, replicates, seed, BESIDE))
    write_table(output / "metrics.parquet", metrics, METRICS)
    shown = metrics[
        ["task", "metric", "model", "variant", "kind", "minus", "value", "low", "high", "n_trainings", "n_units"]
    ]
    write_tsv(output / "table.tsv", shown, digits=4)
    text = format_table(metrics, teacher, baseline, student)
    text += "\n" + format_pairs(summary, pairs)
    text += "".join(f"{task}: {sentence}.\n" for task, sentence in read_left_out(predictions[0]).items())
    draw_scores(summary, output / "scores.svg")
    if training:
        runs = stability_table(training)
        write_tsv(output / "stability.tsv", runs, digits=4)
        text += "\n" + format_stability(runs)
        draw_training(
            [(run.model, path) for run in training if (path := run.folder / "training.tsv").is_file()],
            output / "training.svg",
        )
    write_answer(output / "table.txt", "Transcript encoders probed", text)


def _fair(predictions: pd.DataFrame, name: str) -> str:
    """The model ``name`` as it is compared with others: fitted in blocks, or else in the only way that there is."""
    variants = predictions.loc[predictions["name"] == name, "variant"].unique().tolist()
    return named(name, "fit=blocks" if "fit=blocks" in variants or not variants else variants[0])


def student_pairs(predictions: pd.DataFrame, student: str) -> pd.DataFrame:
    """The student and every other that was trained or not, both probed in the same way.

    Args:
        predictions: of `retained.read_predictions`.
        student: name of the model that is compared.

    Returns:
        Columns student, other (names) and variant; the index holds both as they are called with their variant.
    """
    models = predictions[["name", "kind", "variant", "model"]].drop_duplicates()
    models = models[models["kind"].isin(["student", "control"])]
    ours = models[models["name"] == student]
    both = ours.merge(models[models["name"] != student], on="variant", suffixes=("", "_other"))
    index = pd.MultiIndex.from_frame(both[["model", "model_other"]])
    names = {"name": "student", "name_other": "other"}
    return both.rename(columns=names)[["student", "other", "variant"]].set_index(index)


def format_pairs(summary: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """The student minus each other, both probed alone and beside baselines: one line per pair and way."""
    if pairs.empty:
        return ""
    cells = summary[summary["metric"] == "own"].set_index(["model", "minus"])
    width = max(len(f"{row.student} minus {row.other}") for row in pairs.itertuples())
    variants = max(map(len, pairs["variant"]))
    lines = [f"{'mean over tasks':{width}}  {'probe':{variants}}  difference  95 % interval"]
    for (model, other), row in zip(pairs.index, pairs.itertuples(), strict=True):
        cell = cells.loc[(model, other)]
        pair = f"{row.student} minus {row.other}"
        interval = f"[{cell['low']:+.3f}, {cell['high']:+.3f}]"
        lines.append(f"{pair:{width}}  {row.variant:{variants}}  {cell['value']:+10.3f}  {interval}")
    return "\n".join(lines) + "\n"


def format_table(metrics: pd.DataFrame, teacher: str, baseline: str, student: str) -> str:
    """The rows of `retained.tabulate` as text: scores, intervals, and what was retained above the best baseline."""
    metrics = metrics.assign(model=list(map(named, metrics["model"], metrics["variant"])))
    cells = metrics.set_index(["task", "model", "metric", "minus"]).sort_index()
    single = metrics[metrics["task"] != MEAN]
    columns = list(dict.fromkeys(zip(single["task"], single["metric"], strict=True)))
    headings = [task if metric in HEADLINE.values() else f"{task} {metric}" for task, metric in columns]
    less = f"less {student}"
    width = max(24, len(less))
    first = max(map(len, metrics["model"]))
    head = (
        f"{'model':{first}} {'mean':>6} {'95 % interval':>15} {less:>{width}} {'retained':>8} {'95 % interval':>15}  "
    )
    lines = [head + "  ".join(headings)]
    for model in dict.fromkeys(metrics.loc[metrics["task"] == MEAN, "model"]):
        fraction = interval = ""
        if model not in (teacher, baseline):
            row = cells.loc[(MEAN, model, "retained_fraction", "")]
            sound = not math.isnan(row["low"])
            fraction = f"{row['value']:6.2f}" if sound else "-"
            interval = f"[{row['low']:.2f}, {row['high']:.2f}]" if sound else "undefined"
        apart = ""
        if model != student:
            row = cells.loc[(MEAN, model, "own", student)]
            apart = f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        own = cells.loc[(MEAN, model, "own", "")]
        mean = f"[{own['low']:.3f}, {own['high']:.3f}]"
        tasks = [
            f"{cells.loc[(column[0], model, column[1], ''), 'value']:{len(heading)}.3f}"
            for column, heading in zip(columns, headings, strict=True)
        ]
        lines.append(
            f"{model:{first}} {own['value']:6.3f} {mean:>15} {apart:>{width}} {fraction:>8} {interval:>15}  "
            + "  ".join(tasks)
        )
    lines += [
        "",
        f"mean: over tasks, of Pearson's r (regression), AUROC (classes). Strongest baseline: {baseline}.",
        "fit: mrnabench, features as they are; blocks, every block of features at equal variance, its weight and the "
        "penalty by leave-one-out on training rows; with: the blocks of that baseline beside the model's embeddings.",
        "retained: (model - baseline) / (teacher - baseline); undefined unless the teacher beats the strongest "
        "baseline.",
        "Intervals: paired bootstrap over homology groups of the test transcripts, splits and trainings.",
    ]
    return "\n".join(lines) + "\n"


def stability_table(training: Sequence[Training]) -> pd.DataFrame:
    """One row per training: model, seed, objective, whether and where it diverged, loss, spikes, gradient norms."""
    rows = []
    for run in training:
        stored = read_json(run.folder / "training.json")
        if "objective" not in stored:
            raise InputError(
                f"{run.folder / 'training.json'}: no 'objective'; written by an earlier version of genestill, so train "
                "the student again"
            )
        objective = stored.pop("objective")
        rows.append({"model": run.model, "seed": run.seed, "objective": objective, **stored})
    return pd.DataFrame(rows)


def format_stability(runs: pd.DataFrame) -> str:
    """Per student: runs, runs that diverged, spread of the final loss over seeds, spikes, gradient norm tail."""
    lines = [
        f"{'student':28} {'objective':28} {'runs':>4} {'diverged':>8} {'final loss':>18} {'spikes':>6} "
        f"{'gradient 99 % / median':>22}"
    ]
    trained = runs[runs["steps"] > 0]
    for (model, objective), of in trained.groupby(["model", "objective"], sort=False):
        loss = of["final_loss"]
        spread = f"{loss.mean():.4f} +- {loss.std(ddof=1) if len(of) > 1 else 0:.4f}"
        tail = (of["gradient_norm_99"] / of["gradient_norm_median"]).mean()
        lines.append(
            f"{model:28} {objective:28} {len(of):4d} {int(of['diverged'].notna().sum()):8d} {spread:>18} "
            f"{int(of['loss_spikes'].sum()):6d} {tail:22.2f}"
        )
    return "\n".join(lines) + "\n"
