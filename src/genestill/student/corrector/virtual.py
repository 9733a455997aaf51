"""Correctors of virtual references: each is trained on the labels and hits with its reference."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pandas as pd

import genestill
from genestill.core.contents import content_checksum
from genestill.core.files import scratch_folder, write_text
from genestill.core.logs import log_counts, progress
from genestill.core.table_schemas import ALIGNMENTS
from genestill.core.tables import read_table, write_table, write_tsv
from genestill.core.taxonomy_folder import read_lineages, read_taxids_of_genomes
from genestill.core.virtual_references import JUDGING, VirtualReference, references_of
from genestill.student.corrector.features import read_contigs
from genestill.student.corrector.pipeline import Sources, accept_names, learn
from genestill.student.corrector.settings import CorrectorSettings


def learn_virtual(
    sources: Sources,
    evidence: Sequence[str],
    training: CorrectorSettings,
    withheld: str | Path,
    community: str,
    both_halves: bool,
    seeds: int,
    threshold: float,
    folder: str | Path,
    output: str | Path,
) -> None:
    """Train a corrector for every virtual reference of a community and seed: ``<reference>/corrector.seed<n>.parquet``.

    These predictions are made from ``corrector.probabilities.seed<n>.parquet``, the output of the training, which is
    kept if it was made with the same evidence, settings, contents of ``sources`` and version of genestill (the record
    is ``correctors.json``). ``labels withhold`` removes it when the labels change.

    Args:
        sources: contigs, index, abundance, taxonomy, and as evidence alignments to the whole reference, if any; labels,
            tree and hits are those of each reference.
        evidence: names of the sources in `settings.EVIDENCE`, in this order; sources that read hits need no table here.
        training: see `CorrectorSettings`, without fragments, since the genomes of the references are not given.
        withheld: table written by ``reference withheld``.
        community: name of the community in that table.
        both_halves: whether correctors of the fitting half are trained as well as those of the judging half.
        seeds: seeds 1 to this number.
        threshold: confidence above which a name is accepted.
        folder: folder written by ``labels withhold``.
        output: TSV with reference, seed and seconds (0 for a training that was kept).

    Raises:
        InputError: the table has no row for the community, or the settings have fragments; as `learn`.
    """
    references = [one for one in references_of(withheld, community) if both_halves or one.half == JUDGING]
    runs = [(one, seed) for one in references for seed in range(1, seeds + 1)]
    rows = []
    _remove_further_seeds(Path(folder), seeds)
    made_from: dict[str, object] = {role: content_checksum(path) for role, path in sources.files().items() if path}
    made_from |= {"evidence": list(evidence), "training": asdict(training), "version": genestill.__version__}
    _remove_others(Path(folder), made_from)
    # The contigs are the same for all, and are not read if nothing is trained.
    read = cache(lambda: read_contigs(sources.contigs, sources.index, sources.abundance))
    for one, seed in progress(runs, len(runs), "correctors", "training on virtual references"):
        place, start = Path(folder) / one.name, time.monotonic()
        probabilities = place / f"corrector.probabilities.seed{seed}.parquet"
        made = not probabilities.is_file()
        if made:
            files = {"labels": place / "labels.parquet", "tree": place / "label_tree.tsv"}
            with scratch_folder(place, "model") as scratch:
                tables = dict.fromkeys(evidence, place / "hits.parquet")
                if "alignments" in evidence:
                    tables["alignments"] = scratch / "alignments.parquet"
                    _write_alignments_left(sources, one, tables["alignments"])
                of_reference = replace(sources, **files, evidence=tables)
                learn(of_reference, training, seed, scratch / "model", probabilities, read=read)
        accept_names(probabilities, threshold, place / f"corrector.seed{seed}.parquet")
        rows.append((one.name, seed, time.monotonic() - start if made else 0.0))
    table = pd.DataFrame(rows, columns=["reference", "seed", "seconds"])
    write_tsv(output, table)
    log_counts("correctors of virtual references", {"made": int((table["seconds"] > 0).sum()), "all": len(table)})


def _remove_others(folder: Path, made_from: dict) -> None:
    """Remove trainings in ``folder`` that were not made from ``made_from``, which is recorded there."""
    record, described = folder / "correctors.json", json.dumps(made_from, sort_keys=True)
    if record.is_file() and record.read_text(encoding="utf-8") == described:
        return
    for table in folder.glob("*/corrector.*.parquet"):
        table.unlink()
    write_text(record, described)


def _remove_further_seeds(folder: Path, seeds: int) -> None:
    """Remove trainings with seeds above ``seeds``, because all tables of a reference are scored."""
    for table in folder.glob("*/corrector.*seed*.parquet"):
        if int(table.stem.rpartition("seed")[2]) > seeds:
            table.unlink()


def _write_alignments_left(sources: Sources, reference: VirtualReference, output: Path) -> None:
    """Write the alignments to genomes that are in the virtual reference."""
    lineages = read_lineages(sources.taxonomy)
    taxids = read_taxids_of_genomes(sources.taxonomy)
    gone = {genome for genome, taxid in taxids.items() if reference.withholds(lineages[int(taxid)])}
    table = read_table(sources.evidence["alignments"], ALIGNMENTS)
    write_table(output, table[~table["genome"].isin(gone)], ALIGNMENTS)
