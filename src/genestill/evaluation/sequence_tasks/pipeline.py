"""The functions of the commands: fitting a baseline, scoring predictions, drawing a task."""

import dataclasses
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import InputError
from genestill.core.logs import logger
from genestill.core.near_copies import find_copies
from genestill.core.recipes import STRONGEST_BASELINE
from genestill.core.seeds import seed_everything
from genestill.core.sequences import write_fasta
from genestill.core.shards import load_embeddings
from genestill.core.table_schemas import METRICS, TASK_PREDICTIONS
from genestill.core.tables import write_table, write_tsv
from genestill.core.task_metrics import measure
from genestill.core.task_tables import (
    NEAR_COPY,
    TaskTable,
    hold_out,
    keep_rows,
    keep_training_rows,
    read_task_table,
    variant_of,
    write_task_table,
)
from genestill.evaluation.pages import Table, write_answer
from genestill.evaluation.sequence_tasks import baselines
from genestill.evaluation.sequence_tasks.probe import linear_probe
from genestill.evaluation.sequence_tasks.scores import (
    CLEAN,
    Question,
    format_scores,
    read_run,
    read_test_rows,
    score_runs,
    strongest_baseline,
    tabulate_answers,
    tabulate_rows,
    with_groups,
    without_copies,
)
from genestill.evaluation.sequence_tasks.tables import (
    PUBLISHED_COLUMNS,
    published_protocols,
    read_published,
)
from genestill.evaluation.settings import BaselineSettings

HELD_OUT = 0.2  # share of the training rows on which baselines are compared with each other


def write_rows(path: str | Path, output: str | Path, output_test_rows: str | Path | None = None) -> None:
    """The sequences of a task table as FASTA with row numbers as ids, the ids that `read_features` requires.

    ``output_test_rows`` is a table of the test rows (TSV, columns of `scores.TEST_ROWS`): the number of the row; its
    group, empty if the task has none; and whether it also occurs in training, on either strand: ``exact``, ``near`` if
    `task_tables.NEAR_COPY` consecutive bases are shared, else empty.
    """
    table = read_task_table(path)
    write_fasta(output, ((str(row), sequence) for row, sequence in enumerate(table.sequences)))
    if output_test_rows is not None:
        tested, taught = ([table.sequences[row] for row in rows] for rows in (table.test, table.train))
        exact, near = find_copies(tested, taught, NEAR_COPY)
        groups = "" if table.groups is None else table.groups[table.test]
        copies = np.select([exact, near], ["exact", "near"], "")
        write_tsv(output_test_rows, pd.DataFrame({"row": table.test, "group": groups, "copy": copies}))
        logger.info(
            "%s: of %d test rows, %d also occur in training, and %d share %d consecutive bases with a training row",
            path, len(exact), exact.sum(), near.sum(), NEAR_COPY,
        )  # fmt: skip


def draw_rows(
    path: str | Path, most_training: int | None, most_test: int | None, seed: int, output: str | Path
) -> None:
    """Write a task table with at most these numbers of training and test rows of another table; None for all.

    Rows are drawn with ``seed`` in the proportions of the classes, and written in the order of the table; if rows are
    left out, marked validation rows become training rows. A column ``group`` is kept.

    Raises:
        InputError: as `read_task_table`, and for fewer rows than twice the number of classes.
    """
    table = read_task_table(path)
    if most_training is not None and most_training < len(table.train):
        table = table.of_rows(keep_rows(table, "training", most_training, seed, path), table.test)
    if most_test is not None and most_test < len(table.test):
        table = table.of_rows(table.train, keep_rows(table, "test", most_test, seed, path))
    chosen = np.flatnonzero(table.split != "")
    frame = pd.DataFrame(
        {
            "sequence": [table.sequences[row] for row in chosen],
            "label": [table.classes[label] for label in table.labels[chosen]],
            "split": table.split[chosen],
        }
    )
    if table.groups is not None:
        frame["group"] = table.groups[chosen]
    write_task_table(output, frame)
    logger.info("%s: %d of %d rows drawn", path, len(frame), len(table.split))


def fit_on_table(
    kind: str,
    path: str | Path,
    task: str,
    model: str,
    features: Sequence[str | Path] | None,
    settings: BaselineSettings,
    seed: int,
    output: str | Path,
    model_kind: str = "baseline",
    training: int | None = None,
) -> None:
    """Fit a baseline (of `settings.SEQUENCE_BASELINES`) or ``probe`` on a task and write predictions of its test rows.

    A baseline is fitted twice: on four fifths of the training rows, for its score on the last fifth (``held_out`` in
    the metadata of the file), which determines the strongest of several without the test rows; and on all training
    rows. ``model_kind`` is the kind of the model in tables: one of `kinds.KINDS`; ``training`` the number of the
    training of the model whose embeddings are probed.
    """
    if (kind == "probe") != (features is not None):
        raise InputError("embeddings are required for the probe, and only for it")
    seed_everything(seed)
    table = keep_training_rows(read_task_table(path), settings.rows, seed, path)
    metadata = {"classes": json.dumps(table.classes), "training": json.dumps(training)}
    read = read_features(features, table) if features is not None else None
    try:
        if read is not None:
            probabilities = linear_probe(read, table, settings.metric, seed)
        else:
            baseline = import_module(f"{baselines.__name__}.{kind}")
            metadata["held_out"] = json.dumps(_held_out_score(baseline, table, settings, seed))
            seed_everything(seed)
            probabilities = baseline.fit(table, settings, seed)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    frame = pd.DataFrame(
        {
            "task": task,
            "model": model,
            "kind": model_kind,
            "variant": variant_of("probe" if kind == "probe" else "", settings.rows),
            "seed": seed,
            "fold": np.int32(0),
            "row": table.test,
            "label": [table.classes[label] for label in table.labels[table.test]],
            "predicted": [table.classes[label] for label in probabilities.argmax(axis=1)],
            "probabilities": list(probabilities.astype(np.float32)),
        }
    )
    write_table(output, frame, TASK_PREDICTIONS, metadata)


def _held_out_score(baseline, table: TaskTable, settings: BaselineSettings, seed: int) -> float:
    """Score on the share ``HELD_OUT`` of the training rows, fitted on the others; the same rows for every baseline."""
    fit, held = hold_out(table, HELD_OUT, seed)
    guesses = baseline.fit(table.of_rows(fit, held), settings, seed).argmax(axis=1)
    return measure(table.labels[np.sort(held)], guesses, len(table.classes), settings.metric)


def read_features(shards: Sequence[str | Path], table: TaskTable) -> np.ndarray:
    """Embeddings of all rows of a task table, float32 [rows, width]; ids are row numbers and must be complete."""
    return load_embeddings(list(shards), [str(row) for row in range(len(table.sequences))])


def score_tables(
    predictions: Sequence[str | Path],
    dataset: str,
    catalogue: str | Path,
    published: Sequence[str | Path],
    reference: str | None,
    seed: int,
    output_metrics: str | Path,
    output_table: str | Path,
    output_figure: str | Path,
    questions: Sequence[Question] = (),
    output_answers: str | Path | None = None,
    test_rows: dict[str, str | Path] | None = None,
) -> None:
    """Score predictions, add published rows, write the table and draw it.

    The results are also written as text (.txt) and as a page (.html) beside ``output_table``.

    ``reference`` is the model with which the others are compared; `recipes.STRONGEST_BASELINE` chooses it.
    ``test_rows`` are the tables of `write_rows` by task: groups of test rows are resampled together, and test rows
    without a copy in training are scored separately as well (stratum ``clean``), with answers of their own.
    """
    from genestill.evaluation.sequence_tasks.figures import draw_scores

    tested = {task: read_test_rows(path) for task, path in (test_rows or {}).items()}
    runs = [read_run(path) for path in predictions]
    runs = [with_groups(run, tested[run.task]) if run.task in tested else run for run in runs]
    if STRONGEST_BASELINE in (reference, *(question.minus for question in questions)):
        strongest = strongest_baseline(runs)
        reference = strongest if reference == STRONGEST_BASELINE else reference
        questions = [
            dataclasses.replace(one, minus=strongest) if one.minus == STRONGEST_BASELINE else one for one in questions
        ]
    tasks = {run.task for run in runs}
    protocols = published_protocols([run.task for run in runs], catalogue)
    metric_of = {task: protocol.metric for task, protocol in protocols.items()}
    scores = score_runs(runs, dataset, metric_of, reference, seed, questions)
    if clean := [run for run in (without_copies(run, tested.get(run.task)) for run in runs) if run is not None]:
        of_clean = questions if {run.task for run in clean} == tasks else ()
        scored = score_runs(clean, dataset, metric_of, reference, seed, of_clean)
        scored = scored[scored["seed"].isna()]
        clean_strata = scored["stratum"].map(lambda name: CLEAN if name == "test" else f"{CLEAN}, {name}")
        scores = pd.concat([scores, scored.assign(stratum=clean_strata)], ignore_index=True)
    write_table(output_metrics, scores, METRICS)
    beside = read_published(list(published)) if published else pd.DataFrame(columns=list(PUBLISHED_COLUMNS))
    table = tabulate_rows(scores, beside, metric_of)
    write_tsv(output_table, table, digits=4)
    blocks: list[str | Table] = [
        *format_scores(scores, metric_of, reference),
        "95 % intervals over resampled trainings and test sequences",
    ]
    answers = tabulate_answers(scores, questions)
    if output_answers is not None:
        write_tsv(output_answers, answers)
    counted = []
    for task, rows in tested.items():
        if task in tasks:
            exact, copied = (rows["copy"] == "exact").sum(), (rows["copy"] != "").sum()
            counted.append(
                f"{task}: of {len(rows)} test rows, {exact} are also training rows, {copied} share {NEAR_COPY} bases"
            )
            if (groups := rows["group"].nunique()) > 1:
                counted[-1] += f"; {groups} groups of test rows"
    blocks += ["\n".join(counted)] if counted else []
    if len(answers):
        shown = answers.round(3).astype(str)
        blocks.append(Table(list(shown.columns), shown.to_numpy().tolist()))
    text = write_answer(Path(output_table).with_suffix(".txt"), f"{dataset}: students and baselines by task", blocks)
    draw_scores(table, output_figure)
    logger.info("\n%s", text)


def draw_task(
    path: str | Path, named: dict[str, Sequence[str | Path]], most: int, seed: int, output: str | Path
) -> None:
    """t-SNE of (at most ``most``) test rows for the models in ``named`` (name -> shards of its features)."""
    from genestill.evaluation.sequence_tasks.figures import draw_tsne

    table = read_task_table(path)
    rows = np.sort(np.random.default_rng(seed).permutation(table.test)[:most])
    features = {name: read_features(shards, table)[rows] for name, shards in named.items()}
    draw_tsne(features, table.labels[rows], table.classes, seed, output)
