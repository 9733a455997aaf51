"""Comparison with AMBER, which must give the same recall, precision and F1 for the same calls.

AMBER (Meyer et al. 2018, GigaScience; cami-amber 2.0.8, GPL-3) runs as an external program between the two functions
here: `write_amber_input`, then ``amber.py -g gold.binning -l NAMES --ncbi_dir taxdump -o FOLDER NAME.binning …``, then
`compare_with_amber`. Its accuracy is the share of the gold standard that is called correctly, which is our recall;
its purity is our precision, and its F1 of the sample our F1; each for contigs (``_seq``) and bases (``_bp``).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genestill.core.errors import CheckFailed, InputError
from genestill.core.files import folder_aside
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import NO_LINEAGE, RANKS
from genestill.core.logs import logger
from genestill.core.tables import write_tsv
from genestill.evaluation.calls import UNNAMED, Predictions, read_calls
from genestill.evaluation.taxonomy import OWN_THRESHOLD
from genestill.evaluation.taxonomy_table import read_taxonomy_metrics

_AMBER_RANKS = ("superkingdom", *RANKS[1:])
# Our metrics -> those of AMBER, and our weights -> units of AMBER.
METRICS_OF_AMBER = {"recall": "accuracy", "precision": "precision_weighted", "f1": "f1_score_per"}
UNITS_OF_AMBER = {"": "seq", "bases": "bp"}
TOLERANCE = 1e-6


def write_amber_input(
    truth: str | Path,
    labels: str | Path | None,
    predictions: Sequence[Predictions],
    folder: str | Path,
    labels_name: str = "MMseqs2",
) -> None:
    """Write ``gold.binning``, one ``NAME.binning`` per model and ``taxdump/`` into ``folder`` (replaced as a whole).

    The taxids are numbers of the nodes of the tree of all true and called lineages, because the gold standard contains
    absent taxa, which are not in the taxonomy of the reference. Contigs without a known species are left out of the
    gold standard.

    Raises:
        InputError: no truth, or a name that cannot be a file name or one of AMBER's comma-separated labels.
    """
    community, models = read_calls(truth, labels, predictions, labels_name)
    for model in models:
        if any(letter in model.name for letter in ",/") or model.name == "gold":
            raise InputError(f"the name {model.name!r} cannot be used with AMBER: no comma, no slash, not 'gold'")
    judged = np.flatnonzero((community.path != UNNAMED).all(axis=1))
    if not len(judged):
        raise InputError(
            f"{truth}: the true species is not known for any contig, so there are no contigs for AMBER to score"
        )
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
    # AMBER 2.0.8 stops with KeyError 'strain' for a dump without strains, so an unused strain is added.
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
    """Write model, rank, metric, weight, value (ours), amber and their difference to the TSV ``output``.

    Args:
        results: ``results.tsv`` of AMBER.
        metrics: table of `evaluate_taxonomy` for the same calls.
        output: the table; written before the check, so that differences can be inspected.
        models: the models scored by AMBER; None for all models in the metrics.
        seed: the runs scored by AMBER, if the metrics have several seeds of a model.

    Raises:
        InputError: a result table in another format, or without one of the models.
        CheckFailed: a value that differs by more than 0.000001.
    """
    names = {
        (metric, weight): f"{theirs}_{unit}"
        for metric, theirs in METRICS_OF_AMBER.items()
        for weight, unit in UNITS_OF_AMBER.items()
    }
    try:
        theirs = pd.read_csv(results, sep="\t")[["Tool", "rank", *names.values()]]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{results}: not a result table of AMBER ({error})") from None
    theirs["rank"] = theirs["rank"].replace("superkingdom", "domain")
    theirs = pd.concat(
        theirs[["Tool", "rank"]].assign(metric=metric, weight=weight, amber=theirs[name])
        for (metric, weight), name in names.items()
    )
    ours = pd.concat(read_taxonomy_metrics(metrics, seed, weight) for weight in UNITS_OF_AMBER)
    ours = ours[(ours["stratum"] == "all") & (ours["threshold"] == OWN_THRESHOLD) & (ours["minus"] == "")]
    # Precision is not defined for a model without calls.
    ours = ours[ours["metric"].isin(METRICS_OF_AMBER) & ours["value"].notna()]
    if models is not None:
        unknown = sorted(set(models) - set(ours["model"]))
        if unknown:
            raise InputError(f"{metrics}: no model {unknown[0]!r}; expected one of those that AMBER scored")
        ours = ours[ours["model"].isin(models)]
    joined = ours.rename(columns={"task": "rank"}).merge(
        theirs,
        how="left",
        left_on=["model", "rank", "metric", "weight"],
        right_on=["Tool", "rank", "metric", "weight"],
    )
    joined = joined[["model", "rank", "metric", "weight", "value", "amber"]]
    joined["difference"] = joined["value"] - joined["amber"]
    write_tsv(output, joined, digits=8)
    if joined["amber"].isna().any():
        lacking = joined[joined["amber"].isna()].iloc[0]
        name = names[lacking["metric"], lacking["weight"]]
        raise InputError(f"{results}: no {name} of {lacking['model']} at {lacking['rank']}")
    worst = joined.loc[joined["difference"].abs().idxmax()]
    if abs(worst["difference"]) > TOLERANCE:
        metric = f"{worst['metric']}, weighted by {worst['weight']}," if worst["weight"] else worst["metric"]
        raise CheckFailed(
            f"AMBER's {metric} is {worst['amber']:.6f} for {worst['model']} at {worst['rank']}, "
            f"ours {worst['value']:.6f}"
        )
    logger.info("AMBER agrees with all %d figures (largest difference %.1g)", len(joined), abs(worst["difference"]))
    return joined
