"""The taxonomy folder, which is read by MMseqs2 and used to look up lineages.

It contains a taxdump of NCBI (``nodes.dmp``, ``names.dmp``, ``merged.dmp``, ``delnodes.dmp``) and two tables:
``lineages.tsv`` (taxid, lineage) and ``genomes.tsv`` (genome, taxid). `core.taxonomy_folder` reads them.
"""

from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import folder_aside, write_json
from genestill.core.label_tables import read_label_table
from genestill.core.lineage import RANKS, count_unknown_names, depth, format_lineage, require_two_species
from genestill.core.logs import log_counts
from genestill.core.table_schemas import TRUTH, lineages_of
from genestill.core.tables import read_table
from genestill.core.taxonomy_folder import LINEAGES, read_lineages
from genestill.core.text import read_text_lines
from genestill.reference.genomes import Genome
from genestill.reference.taxdump import MMSEQS_RANKS, Taxdump, read_report, read_taxdump, taxdump_of_lineages


def write_taxonomy(output: str | Path, dump: Taxdump, taxid_of_genome: dict[str, int], counts: dict[str, int]) -> None:
    """Write the taxonomy folder; see the docstring of this module. ``counts`` is written to ``summary.json``.

    Ranks are written in the words of MMseqs2.
    """
    with folder_aside(output) as aside:
        with (
            open(aside / "nodes.dmp", "w", encoding="utf-8") as nodes,
            open(aside / "names.dmp", "w", encoding="utf-8") as names,
            open(aside / LINEAGES, "w", encoding="utf-8") as lineages,
        ):
            lineages.write("taxid\tlineage\n")
            for taxid in sorted(dump.parent):
                name, rank = dump.name[taxid], dump.rank[taxid]
                word = MMSEQS_RANKS[0] if rank in ("domain", "acellular root") else rank
                nodes.write(f"{taxid}\t|\t{dump.parent[taxid]}\t|\t{word}\t|\t\t|\n")
                names.write(f"{taxid}\t|\t{name}\t|\t\t|\tscientific name\t|\n")
                lineages.write(f"{taxid}\t{format_lineage(dump.lineage(taxid))}\n")
        # MMseqs2 fails without merged.dmp; the file may be empty.
        merged = "".join(f"{old}\t|\t{new}\t|\n" for old, new in sorted(dump.merged.items()))
        (aside / "merged.dmp").write_text(merged, encoding="utf-8")
        deleted = "".join(f"{taxid}\t|\n" for taxid in sorted(dump.deleted))
        (aside / "delnodes.dmp").write_text(deleted, encoding="utf-8")
        genomes = "".join(f"{genome}\t{taxid}\n" for genome, taxid in taxid_of_genome.items())
        (aside / "genomes.tsv").write_text(f"genome\ttaxid\n{genomes}", encoding="utf-8")
        write_json(aside / "summary.json", counts)


def check_truth(truth: str | Path, taxonomy: str | Path) -> int:
    """The number of names of the ground truth (`table_schemas.TRUTH`) that are not in the taxonomy folder.

    These include species that the reference lacks. Raises `InputError` if none of the names is in the folder.
    """
    answers = lineages_of(read_table(truth, TRUTH))
    unknown = count_unknown_names(answers, read_lineages(taxonomy).values(), str(truth), "the reference's taxonomy")
    log_counts("truth", {"names_that_the_reference_lacks": unknown})
    return unknown


def make_taxonomy(genomes: list[Genome], taxdump: str | Path | None, output: str | Path) -> None:
    """Write the taxonomy folder of a set of genomes.

    Args:
        genomes: with a lineage each; or, with ``taxdump``, with a taxid each.
        taxdump: folder of an NCBI taxonomy dump, or None to make one from the lineages.
        output: the folder; replaced as a whole.

    Raises:
        InputError: a genome with neither; a taxid that is not in the dump (merged ones are resolved); fewer than two
            species.
    """
    merged = 0
    if taxdump is None:
        without = next((genome for genome in genomes if depth(genome.lineage) == 0), None)
        if without is not None:
            raise InputError(
                f"{without.source}: {without.name} has no lineage; give one, or taxids with a taxonomy dump "
                "(reference.taxdump)"
            )
        dump = taxdump_of_lineages(genome.lineage for genome in genomes)
        by_path = {dump.lineage(taxid): taxid for taxid in dump.parent}
        taxid_of_genome = {genome.name: by_path[genome.lineage] for genome in genomes}
    else:
        full = read_taxdump(taxdump)
        taxid_of_genome = {}
        for genome in genomes:
            if genome.taxid is None:
                raise InputError(
                    f"{genome.source}: {genome.name} has no taxid; a taxonomy dump needs the column 'taxid'"
                )
            taxid = full.current(genome.taxid)
            if taxid is None:
                why = "is deleted in" if genome.taxid in full.deleted else "is not in"
                raise InputError(f"{genome.source}: the taxid {genome.taxid} of {genome.name} {why} {taxdump}")
            merged += taxid != genome.taxid
            taxid_of_genome[genome.name] = taxid
        dump = full.above(taxid_of_genome.values())
    _finish(dump, taxid_of_genome, merged, genomes[0].source, output)


def make_taxonomy_of_report(report: str | Path, output: str | Path, source: str) -> None:
    """Write the taxonomy folder of an existing MMseqs2 database ``source``, from the report of all its sequences.

    Raises `InputError` for a file that is not a report, and for fewer than two species.
    """
    dump = read_report(read_text_lines(report), f"the taxonomy of {source}")
    _finish(dump, {}, 0, source, output)


def make_taxonomy_of_labels(labels: str | Path, form: str, output: str | Path) -> None:
    """Write the taxonomy folder of the lineages in a table of labels, for runs without reference genomes.

    Raises `InputError` as `read_label_table`, and for labels with only taxids and for fewer than two species.
    """
    found = read_label_table(labels, form)
    lineages = [lineage for lineage in found.lineages if depth(lineage)]
    if not lineages:
        raise InputError(
            f"{labels}: labels without written lineages; give the taxonomy of its taxids "
            "(reference.genomes, reference.database or reference.taxdump)"
        )
    _finish(taxdump_of_lineages(lineages), {}, 0, str(labels), output)


def make_taxonomy_of_taxdump(taxdump: str | Path, output: str | Path) -> None:
    """Write the taxonomy folder of a whole NCBI taxonomy dump, for labels with taxids and no reference genomes."""
    _finish(read_taxdump(taxdump), {}, 0, str(taxdump), output)


def _finish(dump: Taxdump, taxid_of_genome: dict[str, int], merged: int, source: str, output: str | Path) -> None:
    lineages = [dump.lineage(taxid) for taxid in (taxid_of_genome.values() if taxid_of_genome else dump.parent)]
    species = {lineage for lineage in lineages if depth(lineage) == len(RANKS)}
    require_two_species(len(species), source, "its lineages")
    counts = {
        "genomes": len(taxid_of_genome),
        "species": len(species),
        "nodes": len(dump.parent),
        "taxids_merged": merged,
        "genomes_above_species": sum(depth(dump.lineage(taxid)) < len(RANKS) for taxid in taxid_of_genome.values()),
        "lineages_with_gaps": sum(any("incertae sedis" in (name or "") for name in lineage) for lineage in lineages),
    }
    write_taxonomy(output, dump, taxid_of_genome, counts)
    log_counts("taxonomy", counts)
