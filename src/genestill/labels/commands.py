"""The commands of the labels stage."""

from genestill.core.options import add_contigs_and_index, thread_count
from genestill.core.settings import add_settings, settings_of
from genestill.labels.settings import ImportSettings, SearchSettings


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill labels``."""
    _add_search(commands)
    _add_import(commands)
    _add_tree(commands)
    _add_align(commands)
    _add_keep_search(commands)
    _add_withhold(commands)
    _add_update(commands)


def _add_outputs(parser) -> None:
    parser.add_argument("--output-labels", required=True, metavar="PARQUET", help="one lineage per contig")
    parser.add_argument("--output-tsv", required=True, metavar="TSV", help="the same in Taxometer's input format")
    parser.add_argument("--output-summary", required=True, metavar="JSON", help="parameters and counts")


def _add_search(commands) -> None:
    summary = "search contigs in a protein taxonomy database with MMseqs2"
    parser = commands.add_parser("search", help=summary, description=summary)
    add_contigs_and_index(parser)
    parser.add_argument("--database", required=True, metavar="DATABASE", help="MMseqs2 taxonomy database of proteins")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of MMseqs2 (default 1)")
    add_settings(parser, SearchSettings)
    _add_outputs(parser)
    parser.add_argument("--output-hits", required=True, metavar="PARQUET", help="the evidence: hits of every fragment")
    parser.set_defaults(run=_run_search)


def _run_search(options) -> dict:
    from genestill.core.files import read_json
    from genestill.labels.search import search_contigs

    search_contigs(
        options.contigs,
        options.index,
        options.database,
        options.taxonomy,
        settings_of(SearchSettings, options),
        options.threads,
        output_labels=options.output_labels,
        output_hits=options.output_hits,
        output_tsv=options.output_tsv,
        output_summary=options.output_summary,
    )
    return {"mmseqs2": read_json(options.output_summary)["mmseqs2"]}


def _add_import(commands) -> None:
    summary = "import the labels of another classifier, or of an earlier run"
    parser = commands.add_parser("import", help=summary, description=summary)
    parser.add_argument("--labels", required=True, metavar="FILE", help="the table, gzipped or not")
    add_settings(parser, ImportSettings)
    parser.add_argument("--index", required=True, metavar="PARQUET", help="output of 'reference contigs'")
    parser.add_argument("--taxonomy", metavar="FOLDER", help="output of 'reference taxonomy'; for labels with taxids")
    _add_outputs(parser)
    parser.set_defaults(run=_run_import)


def _run_import(options) -> None:
    from genestill.labels.importers import import_labels

    import_labels(
        options.labels,
        settings_of(ImportSettings, options).format,
        options.index,
        options.taxonomy,
        options.output_labels,
        options.output_tsv,
        options.output_summary,
    )


def _add_tree(commands) -> None:
    parser = commands.add_parser("tree", help="build the label tree: all lineages that can be assigned to a contig")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="folder with lineages.tsv")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of the contigs")
    parser.add_argument("--hits", metavar="PARQUET", help="table of hits from `labels search`")
    parser.add_argument("--other-children", action="store_true", help="add a leaf for absent taxa to every inner node")
    parser.add_argument("--output", required=True, metavar="TSV", help="the tree")
    parser.set_defaults(run=_run_tree)


def _run_tree(options) -> None:
    from genestill.labels.tree import build_label_tree

    build_label_tree(options.taxonomy, options.labels, options.hits, options.output, options.other_children)


def _add_align(commands) -> None:
    summary = "align contigs to the reference genomes with minimap2"
    parser = commands.add_parser("align", help=summary, description=summary)
    add_contigs_and_index(parser)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes, with the column file")
    parser.add_argument(
        "--genomes-folder", required=True, metavar="FOLDER", help="folder with the files of the genomes"
    )
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of minimap2 (default 1)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="identity by contig and genome")
    parser.set_defaults(run=_run_align)


def _run_align(options) -> None:
    from genestill.labels.alignments import align_contigs

    align_contigs(
        options.contigs, options.index, options.genomes, options.genomes_folder, options.threads, options.output
    )


def _add_keep_search(commands) -> None:
    summary = "search contigs once and keep the results for labels withhold and labels update"
    parser = commands.add_parser("keep-search", help=summary, description=summary)
    add_contigs_and_index(parser)
    parser.add_argument("--database", required=True, metavar="DATABASE", help="MMseqs2 taxonomy database of proteins")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of MMseqs2 (default 1)")
    add_settings(parser, SearchSettings)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="fragments, candidates and alignments")
    parser.set_defaults(run=_run_keep_search)


def _run_keep_search(options) -> None:
    from genestill.labels.kept_search import keep_search

    settings = settings_of(SearchSettings, options)
    keep_search(
        options.contigs,
        options.index,
        options.database,
        options.taxonomy,
        settings,
        options.threads,
        options.output,
    )


def _add_withhold(commands) -> None:
    summary = (
        "compute labels and hits of a kept search with some clades removed from the reference (virtual references)"
    )
    parser = commands.add_parser("withhold", help=summary, description=summary)
    parser.add_argument("--search", required=True, metavar="FOLDER", help="output of 'labels keep-search'")
    parser.add_argument("--index", required=True, metavar="PARQUET", help="the contigs that were searched")
    parser.add_argument("--database", required=True, metavar="DATABASE", help="the database that was searched")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--withheld", required=True, metavar="TSV", help="output of 'reference withheld'")
    parser.add_argument("--community", required=True, metavar="NAME", help="community in that table")
    parser.add_argument("--reference", metavar="NAME", help="only this reference (default: all of the community)")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of MMseqs2 (default 1)")
    parser.add_argument(
        "--other-children",
        action="store_true",
        help="add a leaf for absent taxa to every inner node of the label trees",
    )
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="one folder per reference; existing ones are kept"
    )
    parser.set_defaults(run=_run_withhold)


def _run_withhold(options) -> None:
    from genestill.labels.withholding import withhold_each

    withhold_each(
        options.search,
        options.index,
        options.database,
        options.taxonomy,
        options.withheld,
        options.community,
        options.threads,
        options.other_children,
        options.output,
        options.reference,
    )


def _add_update(commands) -> None:
    summary = "update labels and hits to a new release of the reference: only added proteins are searched"
    parser = commands.add_parser("update", help=summary, description=summary)
    parser.add_argument(
        "--former",
        required=True,
        metavar="FOLDER",
        help="of a former release: labels.parquet, and kept, the output of 'labels keep-search'",
    )
    parser.add_argument("--index", required=True, metavar="PARQUET", help="the contigs that were searched")
    parser.add_argument("--database", required=True, metavar="DATABASE", help="database of proteins of the new release")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy' for it")
    parser.add_argument("--abundance", metavar="PARQUET", help="output of 'reference contigs', for changes per sample")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of MMseqs2 (default 1)")
    add_settings(parser, SearchSettings)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="labels, hits, changes, and kept")
    parser.set_defaults(run=_run_update)


def _run_update(options) -> dict:
    from pathlib import Path

    from genestill.core.files import read_json
    from genestill.labels.updating import update_labels

    said = update_labels(
        options.former,
        options.index,
        options.database,
        options.taxonomy,
        options.abundance,
        settings_of(SearchSettings, options),
        options.threads,
        options.output,
    )
    print(said, end="")
    return {"mmseqs2": read_json(Path(options.output) / "summary.json")["mmseqs2"]}
