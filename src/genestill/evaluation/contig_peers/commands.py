"""The commands of peers that classify contigs: ``kraken2`` and ``peer``."""

from genestill.core.options import add_contigs_and_index


def add_commands(commands) -> None:
    """Add the commands of this package to ``genestill evaluation``."""
    _add_kraken2(commands)
    _add_peer(commands)


def _add_kraken2(commands) -> None:
    summary = "build a Kraken 2 database of the reference genomes and classify contigs at several confidences"
    parser = commands.add_parser("kraken2", help=summary, description=summary)
    add_contigs_and_index(parser)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes, with the column file")
    parser.add_argument("--genomes-folder", required=True, metavar="FOLDER", help="where the files of the genomes lie")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="what 'reference taxonomy' wrote")
    parser.add_argument("--threads", type=int, default=1, help="threads of Kraken 2 (default 1)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="a taxid per contig and confidence")
    parser.set_defaults(run=_run_kraken2)


def _run_kraken2(options) -> None:
    from genestill.evaluation.contig_peers.kraken2 import run_kraken2
    from genestill.evaluation.contig_peers.registry import KRAKEN2_CONFIDENCES

    run_kraken2(
        options.contigs,
        options.index,
        options.genomes,
        options.genomes_folder,
        options.taxonomy,
        KRAKEN2_CONFIDENCES,
        options.threads,
        options.output,
    )


def _add_evidence(parser) -> None:
    parser.add_argument("--index", required=True, metavar="PARQUET", help="what 'reference contigs' wrote")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of MMseqs2")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="what 'reference taxonomy' wrote")
    parser.add_argument("--abundance", metavar="PARQUET", help="read depths that 'reference contigs' wrote")
    parser.add_argument("--alignments", metavar="PARQUET", help="what 'labels align' wrote")
    parser.add_argument("--hits", metavar="PARQUET", help="what 'labels search' wrote")
    parser.add_argument("--kraken2", metavar="PARQUET", help="what 'evaluation kraken2' wrote")


def _add_peer(commands) -> None:
    summary = "what a peer calls the contigs, from the evidence of the programs that it uses"
    parser = commands.add_parser("peer", help=summary, description=summary)
    parser.add_argument("--name", required=True, help="the peer, such as minimap2 or bag-rule")
    _add_evidence(parser)
    parser.add_argument("--thresholds", metavar="TSV", help="thresholds that were chosen (columns model, threshold)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the predictions")
    parser.set_defaults(run=_run_peer)


def _run_peer(options) -> None:
    from genestill.evaluation.contig_peers.calling import call_peer
    from genestill.evaluation.contig_peers.evidence import read_evidence

    names = ("index", "labels", "taxonomy", "abundance", "alignments", "hits", "kraken2")
    evidence = read_evidence(**{name: getattr(options, name) for name in names})
    call_peer(options.name, evidence, options.thresholds, options.output)
