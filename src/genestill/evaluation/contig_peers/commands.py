"""The commands of peers that classify contigs: programs, calls, scores and thresholds."""

from genestill.core.options import add_contigs_and_index


def add_commands(commands) -> None:
    """Add the commands of this package to ``genestill evaluation``."""
    _add_kraken2(commands)
    _add_diamond(commands)
    _add_metabuli(commands)
    _add_peer(commands)
    _add_peer_scores(commands)
    _add_peer_thresholds(commands)


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


def _add_diamond(commands) -> None:
    summary = "find the genes of contigs and search them in the proteins of the reference with DIAMOND"
    parser = commands.add_parser("diamond", help=summary, description=summary)
    add_contigs_and_index(parser)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes, with the column file")
    parser.add_argument("--proteins", required=True, metavar="FOLDER", help="what 'reference proteins' wrote")
    parser.add_argument("--threads", type=int, default=1, help="threads of Pyrodigal and DIAMOND (default 1)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="a bit score per gene and genome")
    parser.set_defaults(run=_run_diamond)


def _run_diamond(options) -> None:
    from genestill.evaluation.contig_peers.diamond import run_diamond

    run_diamond(options.contigs, options.index, options.genomes, options.proteins, options.threads, options.output)


def _add_metabuli(commands) -> None:
    summary = "build a Metabuli database of the reference genomes and classify contigs"
    parser = commands.add_parser("metabuli", help=summary, description=summary)
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="contigs, compressed or not")
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes, with the column file")
    parser.add_argument("--genomes-folder", required=True, metavar="FOLDER", help="where the files of the genomes lie")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="what 'reference taxonomy' wrote")
    parser.add_argument("--threads", type=int, default=1, help="threads of Metabuli (default 1)")
    parser.add_argument("--output", required=True, metavar="TSV", help="Metabuli's classification of each contig")
    parser.set_defaults(run=_run_metabuli)


def _run_metabuli(options) -> None:
    from genestill.evaluation.contig_peers.metabuli import run_metabuli

    where = (options.genomes, options.genomes_folder, options.taxonomy, options.threads, options.output)
    run_metabuli(options.contigs, *where)


def _add_evidence(parser) -> None:
    parser.add_argument("--index", required=True, metavar="PARQUET", help="what 'reference contigs' wrote")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of MMseqs2")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="what 'reference taxonomy' wrote")
    parser.add_argument("--abundance", metavar="PARQUET", help="read depths that 'reference contigs' wrote")
    parser.add_argument("--alignments", metavar="PARQUET", help="what 'labels align' wrote")
    parser.add_argument("--hits", metavar="PARQUET", help="what 'labels search' wrote")
    parser.add_argument("--kraken2", metavar="PARQUET", help="what 'evaluation kraken2' wrote")
    parser.add_argument("--genes", metavar="PARQUET", help="what 'evaluation diamond' wrote")
    parser.add_argument("--bins", metavar="FOLDER", help="what 'vamb bin default' wrote")
    parser.add_argument("--metabuli", metavar="TSV", help="what 'evaluation metabuli' wrote")


def _add_peer(commands) -> None:
    summary = "what a peer calls the contigs, from the evidence of the programs that it uses"
    parser = commands.add_parser("peer", help=summary, description=summary)
    parser.add_argument("--name", required=True, help="the peer, such as minimap2 or bag-rule")
    _add_evidence(parser)
    parser.add_argument("--thresholds", metavar="TSV", help="thresholds that were chosen (columns model, threshold)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the predictions")
    parser.add_argument("--output-tsv", metavar="TSV", help="the same as labels that Taxometer reads")
    parser.set_defaults(run=_run_peer)


def _run_peer(options) -> None:
    from genestill.evaluation.contig_peers.calling import call_peer

    call_peer(options.name, _evidence(options), options.thresholds, options.output, options.output_tsv)


def _evidence(options):
    from genestill.evaluation.contig_peers.evidence import read_evidence

    names = ("index", "labels", "taxonomy", "abundance", "alignments", "hits", "kraken2", "genes", "bins", "metabuli")
    return read_evidence(**{name: getattr(options, name) for name in names})


def _add_peer_scores(commands) -> None:
    summary = "score peers at all their thresholds on the virtual references of a community"
    parser = commands.add_parser("peer-scores", help=summary, description=summary)
    _add_evidence(parser)
    parser.add_argument("--truth", required=True, metavar="PARQUET", help="right answers")
    parser.add_argument("--withheld", required=True, metavar="TSV", help="what 'reference withheld' wrote")
    parser.add_argument("--community", required=True, metavar="NAME", help="community in that table")
    parser.add_argument("--virtual", required=True, metavar="FOLDER", help="what 'labels withhold' wrote")
    parser.add_argument("--output", required=True, metavar="TSV", help="a row per reference, peer, threshold and rank")
    parser.set_defaults(run=_run_peer_scores)


def _run_peer_scores(options) -> None:
    from genestill.evaluation.contig_peers.selection import score_peers

    where = (options.truth, options.withheld, options.community, options.virtual, options.output)
    score_peers(_evidence(options), *where)


def _add_peer_thresholds(commands) -> None:
    summary = "choose the thresholds of peers on the fitting half of virtual references, and judge them on the other"
    parser = commands.add_parser("peer-thresholds", help=summary, description=summary)
    parser.add_argument("--scores", required=True, nargs="+", metavar="TSV", help="what 'peer-scores' wrote")
    parser.add_argument("--output", required=True, metavar="TSV", help="model and threshold, the strongest first")
    parser.add_argument("--judged", required=True, metavar="TSV", help="scores on the judging half; hindsight marked")
    parser.set_defaults(run=_run_peer_thresholds)


def _run_peer_thresholds(options) -> None:
    from genestill.evaluation.contig_peers.selection import write_choice

    write_choice(options.scores, options.output, options.judged)
