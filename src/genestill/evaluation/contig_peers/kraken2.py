"""Kraken 2 (Wood et al. 2019, doi 10.1186/s13059-019-1891-0) with the genomes of a reference."""

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from genestill.core.contents import content_checksum
from genestill.core.errors import InputError
from genestill.core.files import read_json, require_disk_space, scratch_folder, write_json
from genestill.core.label_tables import read_label_table
from genestill.core.lineage import NO_LINEAGE, Lineage, format_lineage
from genestill.core.logs import log_counts
from genestill.core.programs import find_program, run_program
from genestill.core.sequences import genome_name, read_fasta, write_fasta
from genestill.core.table_schemas import INDEX, KRAKEN2_CALLS
from genestill.core.tables import read_table, read_tsv, write_table, write_tsv
from genestill.core.taxonomy import read_taxonomy
from genestill.core.taxonomy_folder import read_taxids_of_genomes
from genestill.core.virtual_references import HALVES, is_within, references_of

# The arguments of `run_kraken2`, up to the number of threads.
Sources = tuple[str | Path, str | Path, str | Path, str | Path, str | Path, Sequence[float], int]


def run_kraken2(
    contigs: str | Path,
    index: str | Path,
    genomes: str | Path,
    folder: str | Path,
    taxonomy: str | Path,
    confidences: Sequence[float],
    threads: int,
    output: str | Path,
    withheld: Sequence[Lineage] = (),
    megabytes: int = 0,
) -> None:
    """Build a database of the genomes, classify the contigs at every ``--confidence``, and write `KRAKEN2_CALLS`.

    Args:
        contigs: FASTA file, compressed or not.
        index: ``table_schemas.INDEX``; other contigs are left out.
        genomes: table of genomes with the column ``file``; only these are in the database.
        folder: folder of these files.
        taxonomy: folder written by ``reference taxonomy``.
        confidences: values of ``--confidence``.
        threads: number of threads of Kraken 2.
        output: the table; a contig without a label has taxid 0.
        withheld: clades whose genomes are left out, as lineages that end at the rank of the clade.
        megabytes: maximum size of its hash table (``--max-db-size``, 10^6 bytes); 0 for no limit. If it is too small
            for all minimizers, ``kraken2-build`` keeps a sample of them.

    Raises:
        InputError: a program is missing; a genome without a file or a taxid.
        ProgramFailed: Kraken 2 fails.
    """
    build, classify = find_program("kraken2-build"), find_program("kraken2")
    table = read_table(index, INDEX)
    ids = table["id"].tolist()
    taxid_of = read_taxids_of_genomes(taxonomy)
    output = Path(output).resolve()
    files = [Path(folder) / file for file in read_tsv(genomes, ["file"])["file"]]
    if withheld:
        lineages = read_taxonomy(taxonomy).lineages
        of_file = {file: lineages.get(int(taxid_of.get(genome_name(file), 0)), NO_LINEAGE) for file in files}
        files = [file for file in files if not is_within(of_file[file], withheld)]
    size = sum(file.stat().st_size for file in files if file.is_file())
    needed = 12 * size + 2 * int(table["length"].sum()) + 200_000_000
    require_disk_space(output.parent, needed, "the database of Kraken 2")
    with scratch_folder(output.parent, "kraken2") as scratch:
        database = scratch.resolve() / "database"
        (database / "taxonomy").mkdir(parents=True)
        for name in ("nodes.dmp", "names.dmp"):
            (database / "taxonomy" / name).write_bytes((Path(taxonomy) / name).read_bytes())
        library = scratch / "library.fna"
        with open(library, "w", encoding="ascii") as handle:
            for file in files:
                name = genome_name(file)
                if name not in taxid_of or not file.is_file():
                    raise InputError(f"{genomes}: {name}: not in {taxonomy}/genomes.tsv, or no such file: {file}")
                for number, (_, sequence) in enumerate(read_fasta(file), 1):
                    handle.write(f">{name}_{number}|kraken:taxid|{taxid_of[name]}\n{sequence}\n")
        where = ["--db", database, "--threads", threads]
        run_program([build, "--add-to-library", library.resolve(), "--no-masking", *where], scratch)
        size_limit = ["--max-db-size", megabytes * 1_000_000] if megabytes else []
        run_program([build, "--build", *size_limit, *where], scratch)
        parts, queries, wanted = [], (scratch / "contigs.fna").resolve(), set(ids)
        write_fasta(queries, (record for record in read_fasta(contigs) if record[0] in wanted))
        for confidence in confidences:
            said = scratch / "kraken2.out"
            words = ["--confidence", confidence, "--output", said.resolve(), queries]
            run_program([classify, *where, *words], scratch)
            found = read_label_table(said, "kraken2")
            taxid = pd.Series(found.taxid, index=found.ids.to_pandas()).reindex(ids, fill_value=0)
            parts.append(pd.DataFrame({"id": ids, "confidence": confidence, "taxid": taxid.to_numpy()}))
    write_table(output, pd.concat(parts, ignore_index=True), KRAKEN2_CALLS)
    log_counts("kraken2", {"contigs": len(ids), "confidences": len(confidences)})


def run_kraken2_virtual(
    sources: Sources, withheld: str | Path, community: str, number: int, folder: str | Path, output: str | Path
) -> None:
    """`run_kraken2` with virtual references: ``<folder>/<reference>/kraken2.parquet``.

    Existing tables are kept if they were made from the same (the record is ``kraken2.json``). Tables of other
    references are removed, because all tables in the folder are scored.

    Args:
        sources: the arguments of `run_kraken2` up to ``threads``.
        withheld: table written by ``reference withheld``.
        community: name of the community in that table.
        number: this many references of each half are used, the first of the table.
        folder: folder written by ``labels withhold``.
        output: TSV with reference and seconds (0 for tables that are kept).

    Raises:
        InputError: no row for the community; as `run_kraken2`.
    """
    rows = []
    references = references_of(withheld, community)
    inputs = _inputs_of(sources) if number else {}
    used = [one for half in HALVES for one in [found for found in references if found.half == half][:number]]
    for one in references:
        calls, start = Path(folder) / one.name / "kraken2.parquet", time.monotonic()
        record, made_from = (
            calls.with_suffix(".json"),
            inputs | {"clades": [format_lineage(clade) for clade in one.clades]},
        )
        made = not (calls.is_file() and record.is_file() and read_json(record) == made_from)
        if made or one not in used:
            # Tables of an earlier run with more references or with other inputs.
            record.unlink(missing_ok=True)
            calls.unlink(missing_ok=True)
        if one not in used:
            continue
        if made:
            run_kraken2(*sources, calls, one.clades)
            write_json(record, made_from)
        rows.append((one.name, time.monotonic() - start if made else 0.0))
    write_tsv(output, pd.DataFrame(rows, columns=["reference", "seconds"]))


def _inputs_of(sources: Sources) -> dict[str, object]:
    """Checksums of what `run_kraken2` reads, and its settings."""
    contigs, index, genomes, folder, taxonomy, confidences, _ = sources
    files = {"contigs": contigs, "index": index, "genomes": genomes, "taxonomy": taxonomy}
    checksums: dict[str, object] = {name: content_checksum(path) for name, path in files.items()}
    each = [content_checksum(Path(folder) / file) for file in read_tsv(genomes, ["file"])["file"]]
    return checksums | {"files": each, "confidences": list(confidences)}
