"""A second opinion: AMBER scores the same calls, and must find the same recall.

AMBER (Meyer et al. 2018, GigaScience; cami-amber 2.0.8, GPL-3) runs as a program of its own between the two functions
here: `write_amber_input`, then ``amber.py -g gold.binning -l NAMES --ncbi_dir taxdump -o FOLDER NAME.binning …``, then
`compare_with_amber`. Its ``accuracy_seq`` is the share of contigs of the gold standard that are called correctly,
which is our recall.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import folder_aside, write_aside
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import NO_LINEAGE, RANKS
from genestill.core.logs import logger
from genestill.evaluation.calls import UNNAMED, Predictions, read_calls
from genestill.evaluation.taxonomy import OWN_THRESHOLD
from genestill.evaluation.taxonomy_table import read_taxonomy_metrics

_AMBER_RANKS = ("superkingdom", *RANKS[1:])
TOLERANCE = 1e-6


def write_amber_input(
    truth: str | Path,
    labels: str | Path | None,
    predictions: Sequence[Predictions],
    folder: str | Path,
    labels_name: str = "MMseqs2",
) -> None:
    """Write ``gold.binning``, one ``NAME.binning`` a model and ``taxdump/`` into ``folder`` (replaced as a whole).

    The taxids are numbers of the nodes of the tree of all true and called lineages, since the reference's taxonomy
    lacks the absent taxa, which the gold standard needs. Contigs without a known species stay out of the gold standard.

    Raises:
        InputError: no truth, or a name that cannot be a file name or one of AMBER's comma-separated labels.
    """
    community, models = read_calls(truth, labels, predictions, labels_name)
    for model in models:
        if any(letter in model.name for letter in ",/") or model.name == "gold":
            raise InputError(f"the name {model.name!r} cannot be used with AMBER: no comma, no slash, not 'gold'")
    judged = np.flatnonzero((community.path != UNNAMED).all(axis=1))
    if not len(judged):
        raise InputError(f"{truth}: no contig whose true species is known, so AMBER has nothing to score")
    tree = LabelTree.from_lineages((path + NO_LINEAGE)[: len(RANKS)] for names in community.names for path in names)
    # The root is node 0 of the tree and taxid 1 of a dump.
    taxid = [[1 + tree.node_of((path + NO_LINEAGE)[: len(RANKS)]) for path in names] for names in community.names]
    with folder_aside(folder) as aside:
        _write_taxdump(aside / "taxdump", tree)
        gold = ["@@SEQUENCEID\tBINID\tTAXID\tLENGTH"]
        for row in judged:
            contig, length = community.ids[row], community.length[row]
            gold.append(f"{contig}\tgenome{community.genome[row]}\t{taxid[-1][community.path[row, -1]]}\t{length}")
        _write_binning(aside / "gold.binning", gold)
        for model in models:
            lines = ["@@SEQUENCEID\tTAXID"]
            for row in judged:
                called = np.flatnonzero(model.accepted[row])
                if len(called):
                    lines.append(f"{community.ids[row]}\t{taxid[called[-1]][model.path[row, called[-1]]]}")
            _write_binning(aside / f"{model.name}.binning", lines)


def _write_binning(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(["@Version:0.9.1", "@SampleID:community", *lines]) + "\n", encoding="utf-8")


def _write_taxdump(folder: Path, tree: LabelTree) -> None:
    folder.mkdir()
    nodes, names = ["1\t|\t1\t|\tno rank\t|"], ["1\t|\troot\t|\t\t|\tscientific name\t|"]
    for node in range(1, len(tree)):
        nodes.append(f"{node + 1}\t|\t{tree.parent[node] + 1}\t|\t{_AMBER_RANKS[tree.rank[node] - 1]}\t|")
        names.append(f"{node + 1}\t|\t{tree.name[node]}\t|\t\t|\tscientific name\t|")
    # AMBER 2.0.8 stops with KeyError 'strain' on a dump without any strain: one that nothing refers to.
    deepest = int(np.argmax(tree.rank)) + 1
    nodes.append(f"{len(tree) + 1}\t|\t{deepest}\t|\tstrain\t|")
    names.append(f"{len(tree) + 1}\t|\tno strain\t|\t\t|\tscientific name\t|")
    for name, lines in (("nodes", nodes), ("names", names)):
        (folder / f"{name}.dmp").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "merged.dmp").write_text("", encoding="utf-8")


def compare_with_amber(
    results: str | Path,
    metrics: str | Path,
    output: str | Path,
    models: list[str] | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Write model, rank, recall (ours), amber (``accuracy_seq``) and their difference to the TSV ``output``.

    Args:
        results: AMBER's ``results.tsv``.
        metrics: table of `evaluate_taxonomy` on the same calls.
        output: written before the check, so that a disagreement can be looked at.
        models: those that AMBER scored; None: all of the metrics.
        seed: the runs that AMBER scored, where the metrics hold several seeds of a model.

    Raises:
        InputError: a result table that is not AMBER's, or without one of the models.
        CheckFailed: a recall that differs by more than 0.000001.
    """
    try:
        theirs = pd.read_csv(results, sep="\t")[["Tool", "rank", "accuracy_seq"]]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{results}: not a result table of AMBER ({error})") from None
    theirs["rank"] = theirs["rank"].replace("superkingdom", "domain")
    ours = read_taxonomy_metrics(metrics, seed)
    ours = ours[(ours["metric"] == "recall") & (ours["stratum"] == "all") & (ours["threshold"] == OWN_THRESHOLD)]
    if models is not None:
        unknown = sorted(set(models) - set(ours["model"]))
        if unknown:
            raise InputError(f"{metrics}: no model {unknown[0]!r}; expected one of those that AMBER scored")
        ours = ours[ours["model"].isin(models)]
    joined = ours.rename(columns={"task": "rank", "value": "recall"}).merge(
        theirs, how="left", left_on=["model", "rank"], right_on=["Tool", "rank"]
    )
    joined = joined.rename(columns={"accuracy_seq": "amber"})[["model", "rank", "recall", "amber"]]
    joined["difference"] = joined["recall"] - joined["amber"]
    with write_aside(output) as aside:
        joined.to_csv(aside, sep="\t", index=False, float_format="%.8f")
    if joined["amber"].isna().any():
        lacking = joined[joined["amber"].isna()].iloc[0]
        raise InputError(f"{results}: no accuracy_seq of {lacking['model']} at {lacking['rank']}")
    worst = joined.loc[joined["difference"].abs().idxmax()]
    if abs(worst["difference"]) > TOLERANCE:
        raise CheckFailed(
            f"AMBER finds recall {worst['amber']:.6f} for {worst['model']} at {worst['rank']}, we {worst['recall']:.6f}"
        )
    logger.info("AMBER agrees with all %d recalls (largest difference %.1g)", len(joined), abs(worst["difference"]))
    return joined
