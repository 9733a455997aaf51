"""Virtual references: one search against everything, from which clades are withheld afterwards.

The candidates of the search are kept. To withhold clades, candidates that belong to them are filtered out; all that
follows in ``mmseqs taxonomy`` (alignment for 2bLCA, lowest common ancestor, vote of the fragments of a contig) is done
again by MMseqs2's own modules. Two things differ from a search in a smaller database: E-values are those of the whole
database, and so are the fragments that its fast filter (``--orf-filter``) lets through.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genestill.core import table_schemas
from genestill.core.errors import InputError
from genestill.core.files import folder_aside, require_disk_space, scratch_folder
from genestill.core.lineage import format_lineage, parse_lineage
from genestill.core.logs import log_counts, progress
from genestill.core.mmseqs_databases import check_database
from genestill.core.programs import run_program
from genestill.core.tables import read_table, read_tsv
from genestill.core.taxonomy import Taxonomy, read_taxonomy
from genestill.labels.lineages import count_labels, write_labels
from genestill.labels.search import classify, read_labels, write_queries
from genestill.labels.settings import SearchSettings

KEPT = 5  # times as many candidates are kept as a search aligns: what moves up when others are withheld
_PARTS = ("fragments", "fragments_h", "candidates", "contigs", "contigs_h")


def keep_search(
    contigs: str | Path,
    index: str | Path,
    database: str | Path,
    settings: SearchSettings,
    threads: int,
    output: str | Path,
) -> None:
    """Search once and keep fragments and candidates in the folder ``output``, for `withhold`.

    Args:
        contigs: FASTA file.
        index: ``table_schemas.INDEX``.
        database: MMseqs2 taxonomy database of proteins.
        settings: see `SearchSettings`; `KEPT` times as many candidates are kept.
        threads: of MMseqs2.
        output: a folder of MMseqs2 databases.

    Raises:
        InputError: what `check_database` refuses; another ``lca_mode`` than 3; no disk space.
    """
    _require_approximate_lca(settings)
    check_database(database)
    table = read_table(index, table_schemas.INDEX)
    require_disk_space(Path(output).parent, 40 * int(table["length"].sum()) + 200_000_000, "the search")
    with folder_aside(output) as aside, scratch_folder(aside, "search") as folder:
        write_queries(contigs, table["id"], folder / "contigs.fna")
        more = replace(settings, candidates=KEPT * settings.candidates)
        classify(Path(database).resolve(), more, threads, folder)
        tmp = (folder / "tmp" / "latest").resolve()
        fragments = tmp / ("orfs_filter" if (tmp / "orfs_filter.dbtype").is_file() else "orfs_aa")
        candidates = next((path.with_suffix("") for path in sorted(tmp.rglob("pref_0.dbtype"))), None)
        if candidates is None:
            raise InputError("this release of MMseqs2 does not keep its candidates; expected release 18")
        found = (fragments, f"{fragments}_h", candidates, folder / "contigs", folder / "contigs_h")
        for source, name in zip(found, _PARTS, strict=True):
            run_program(["mmseqs", "cpdb", source, (aside / name).resolve(), "-v", 1])
    log_counts("search that is kept", {"contigs": len(table)})


def withhold(
    search: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    clades: Sequence[str],
    settings: SearchSettings,
    threads: int,
    output_labels: str | Path,
    output_tsv: str | Path,
) -> None:
    """The labels that the search of `keep_search` gives without the sequences of ``clades``.

    Args:
        search: folder that `keep_search` wrote.
        index: ``table_schemas.INDEX``, of the same contigs.
        database: the database that was searched.
        taxonomy: folder that ``reference taxonomy`` wrote.
        clades: lineages (``d__…;p__…``), down to the clade that is withheld.
        settings: those of `keep_search`.
        threads: of MMseqs2.
        output_labels: ``table_schemas.LABELS``, one row per contig of the index, in its order.
        output_tsv: Taxometer's input format.

    Raises:
        InputError: a clade that the taxonomy lacks; another ``lca_mode`` than 3.
    """
    _require_approximate_lca(settings)
    search, database, names = Path(search).resolve(), Path(database).resolve(), read_taxonomy(taxonomy)
    ids = read_table(index, table_schemas.INDEX)["id"].tolist()
    taxids = [_taxid_of(names, clade, taxonomy) for clade in clades]
    common = ["--threads", threads, "-v", 1]
    with scratch_folder(Path(output_labels).parent, "withhold") as folder:
        candidates = search / "candidates"
        if taxids:
            kept = "&&".join(f"!{taxid}" for taxid in taxids)
            run_program(["mmseqs", "filtertaxseqdb", database, "kept", "--taxon-list", kept, *common], folder)
            among = ["--filter-file", "kept.index", "--positive-filter", 1, "--filter-column", 1]
            run_program(["mmseqs", "filterdb", candidates, "candidates", *among, *common], folder)
            candidates = "candidates"
        first = ["--extract-lines", settings.candidates]
        run_program(["mmseqs", "filterdb", candidates, "first", *first, *common], folder)
        fragments = search / "fragments"
        limits = ["-e", settings.evalue, "--max-accept", settings.accepted, "--max-rejected", settings.rejected]
        aligned = [fragments, database, "first", "aligned", "--alignment-mode", 1, *limits]
        run_program(["mmseqs", "lcaalign", *aligned, *common], folder)
        run_program(["mmseqs", "lca", database, "aligned", "taxa", *common], folder)
        run_program(["mmseqs", "swapdb", search / "fragments_h", "fragments_of_contigs", *common], folder)
        # swapdb copies the type of headers; a set of sequences has that of results.
        (folder / "fragments_of_contigs.dbtype").write_bytes(bytes((5, 0, 0, 0)))
        votes = ["--majority", settings.majority, "--vote-mode", settings.vote_mode, "--tax-lineage", 1]
        joined = [database, "fragments_of_contigs", "taxa", "aligned", "labels", *votes]
        run_program(["mmseqs", "aggregatetaxweights", *joined, *common], folder)
        run_program(["mmseqs", "createtsv", search / "contigs", "labels", "labels.tsv", *common], folder)
        labels = read_labels(folder / "labels.tsv", ids)
    lineages = write_labels(labels, names, output_labels, output_tsv)
    log_counts("labels", {"clades_withheld": len(clades)} | count_labels(lineages))


def withhold_each(
    search: str | Path,
    index: str | Path,
    database: str | Path,
    taxonomy: str | Path,
    withheld: str | Path,
    community: str,
    settings: SearchSettings,
    threads: int,
    output: str | Path,
    reference: str | None = None,
) -> None:
    """`withhold` for every reference of a community: ``<output>/<reference>/labels.parquet`` and ``labels.tsv``.

    With ``reference``, for that one alone.
    References whose labels stand in the folder ``output`` are skipped: remove it when the search has changed.

    Raises:
        InputError: the table ``withheld`` has no row for the community; what `withhold` refuses.
    """
    table = read_tsv(withheld, ["community", "reference", "clade"])
    names = table.loc[table["community"] == community, "reference"].unique().tolist()
    names = [name for name in names if reference in (None, name)]
    if not names:
        which = f"the reference {reference!r} of " if reference else ""
        raise InputError(f"{withheld}: no row for {which}the community {community!r}")
    stand = 0
    for name in progress(names, len(names), "references", "withholding clades"):
        labels, tsv = Path(output) / name / "labels.parquet", Path(output) / name / "labels.tsv"
        # The labels are written before the text: where that stands, both are whole.
        if tsv.is_file():
            stand += 1
            continue
        labels.parent.mkdir(parents=True, exist_ok=True)
        clades = read_withheld(withheld, community, name)
        withhold(search, index, database, taxonomy, clades, settings, threads, labels, tsv)
    log_counts("virtual references", {"made": len(names) - stand, "standing": stand})


def read_withheld(path: str | Path, community: str, reference: str) -> list[str]:
    """The clades that a virtual reference withholds, from the table that ``reference withheld`` writes.

    Raises `InputError` for a reference that the table lacks.
    """
    table = read_tsv(path, ["community", "reference", "clade"])
    rows = table[(table["community"] == community) & (table["reference"] == reference)]
    if not len(rows):
        raise InputError(f"{path}: no row for the reference {reference!r} of the community {community!r}")
    return rows["clade"].tolist()


def _taxid_of(names: Taxonomy, clade: str, taxonomy: str | Path) -> int:
    taxid = names.taxid_of(parse_lineage(clade))
    if not taxid:
        raise InputError(f"{taxonomy}: does not hold the clade {format_lineage(parse_lineage(clade))!r}")
    return taxid


def _require_approximate_lca(settings: SearchSettings) -> None:
    if settings.lca_mode != 3:
        raise InputError(f"lca_mode {settings.lca_mode}: clades are withheld from a search with lca_mode 3 only")
