"""The table of the ``mrna`` recipe, for people and for programs, and the answer to the instability question."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from genestill.evaluation.pages import write_answer
from genestill.evaluation.probes.figures import draw_scores, draw_training
from genestill.evaluation.probes.kept import bootstrap_scores, merge_seeds, read_left_out, read_predictions, summarise
from genestill.ground.files import read_json, write_text


def write_tables(
    predictions: Sequence[str | Path],
    teacher: str,
    baselines: Sequence[str],
    student: str,
    training: Sequence[str | Path],
    replicates: int,
    seed: int,
    output: str | Path,
) -> None:
    """Write table.txt, .html and .tsv, scores.svg, and with ``training`` folders stability.tsv and training.svg."""
    output = Path(output)
    scores = bootstrap_scores(merge_seeds(read_predictions(predictions)), replicates, seed)
    summary = summarise(scores, teacher, baselines, student)
    write_text(output / "table.tsv", summary.to_csv(sep="\t", index=False, float_format="%.4f"))
    text = format_table(summary, teacher, student)
    text += "".join(f"{task}: {sentence}.\n" for task, sentence in read_left_out(predictions[0]).items())
    draw_scores(summary, output / "scores.svg")
    if training:
        runs = stability_table(training)
        write_text(output / "stability.tsv", runs.to_csv(sep="\t", index=False, float_format="%.4g"))
        text += "\n" + format_stability(runs)
        records = {Path(folder).name: Path(folder) / "training.tsv" for folder in training}
        draw_training({name: path for name, path in records.items() if path.is_file()}, output / "training.svg")
    write_answer(output / "table.txt", "Transcript encoders probed", text)


def format_table(summary: pd.DataFrame, teacher: str, student: str) -> str:
    """The summary as text: scores, intervals, and what was kept above the best baseline."""
    tasks = list(summary.columns[summary.columns.get_loc("baseline") + 1 :])
    less = f"less {student}"
    width = max(24, len(less))
    head = f"{'model':28} {'mean':>6} {'95 % interval':>15} {less:>{width}} {'kept':>6} {'95 % interval':>15}  "
    lines = [head + "  ".join(tasks)]
    for row in summary.to_dict("records"):
        kept = interval = ""
        if row["model"] not in (teacher, row["baseline"]):
            sound = not math.isnan(row["kept_low"])
            kept = f"{row['kept']:6.2f}" if sound else "-"
            interval = f"[{row['kept_low']:.2f}, {row['kept_high']:.2f}]" if sound else "undefined"
        apart = ""
        if row["model"] != student:
            low, high = row["minus_student_low"], row["minus_student_high"]
            apart = f"{row['minus_student']:+.3f} [{low:+.3f}, {high:+.3f}]"
        mean = f"[{row['mean_low']:.3f}, {row['mean_high']:.3f}]"
        lines.append(
            f"{row['model']:28} {row['mean']:6.3f} {mean:>15} {apart:>{width}} "
            f"{kept:>6} {interval:>15}  " + "  ".join(f"{row[task]:{len(task)}.3f}" for task in tasks)
        )
    lines += [
        "",
        "mean: over tasks, of Pearson's r (regression), AUROC (classes).",
        f"baseline: the best of the k-mer baselines, {summary['baseline'].iloc[0]}.",
        "kept: (model - baseline) / (teacher - baseline); undefined unless the teacher beats the baseline throughout.",
        "Intervals: paired bootstrap over homology groups of the test transcripts and over seeds.",
    ]
    return "\n".join(lines) + "\n"


def stability_table(training: Sequence[str | Path]) -> pd.DataFrame:
    """One row a run: objective, seed, whether and where it diverged, loss, spikes, gradient norms."""
    rows = []
    for folder in training:
        stored = read_json(Path(folder) / "training.json")
        provenance = stored.pop("provenance")
        rows.append({"run": Path(folder).name, "objective": provenance["settings"]["objective"], **stored})
    return pd.DataFrame(rows)


def format_stability(runs: pd.DataFrame) -> str:
    """Per objective: runs, runs that diverged, spread of the final loss over seeds, spikes, gradient norm tail."""
    lines = [
        f"{'objective':28} {'runs':>4} {'diverged':>8} {'final loss':>18} {'spikes':>6} {'gradient 99 % / median':>22}"
    ]
    trained = runs[runs["steps"] > 0]
    for objective, of in trained.groupby("objective"):
        loss = of["final_loss"]
        spread = f"{loss.mean():.4f} +- {loss.std(ddof=1) if len(of) > 1 else 0:.4f}"
        tail = (of["gradient_norm_99"] / of["gradient_norm_median"]).mean()
        lines.append(
            f"{objective:28} {len(of):4d} {int(of['diverged'].notna().sum()):8d} {spread:>18} "
            f"{int(of['loss_spikes'].sum()):6d} {tail:22.2f}"
        )
    return "\n".join(lines) + "\n"
