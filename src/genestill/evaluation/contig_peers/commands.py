"""The commands of peers that classify contigs: programs, calls, scores and thresholds."""

from genestill.core.options import add_contigs_and_index, add_seed, thread_count
from genestill.core.settings import add_settings, settings_of
from genestill.evaluation.settings import Kraken2ReferenceSettings, Kraken2SizeSettings


def add_commands(commands) -> None:
    """Add the commands of this package to ``genestill evaluation``."""
    _add_kraken2(commands)
    _add_kraken2_virtual(commands)
    _add_diamond(commands)
    _add_metabuli(commands)
    _add_peer(commands)
    _add_peer_scores(commands)
    _add_peer_thresholds(commands)
    _add_judge_virtual(commands)


def _add_kraken2(commands) -> None:
    summary = "build a Kraken 2 database of the reference genomes and classify contigs at several confidences"
    parser = commands.add_parser("kraken2", help=summary, description=summary)
    _add_sources_of_kraken2(parser)
    add_settings(parser, Kraken2SizeSettings)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="a taxid per contig and confidence")
    parser.set_defaults(run=_run_kraken2)


def _add_sources_of_kraken2(parser) -> None:
    add_contigs_and_index(parser)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes, with the column file")
    parser.add_argument(
        "--genomes-folder", required=True, metavar="FOLDER", help="folder with the files of the genomes"
    )
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of Kraken 2 (default 1)")


def _sources_of_kraken2(options) -> tuple[str, str, str, str, str, tuple[float, ...], int]:
    from genestill.evaluation.contig_peers.registry import KRAKEN2_CONFIDENCES

    files = (options.contigs, options.index, options.genomes, options.genomes_folder, options.taxonomy)
    return *files, KRAKEN2_CONFIDENCES, options.threads


def _run_kraken2(options) -> None:
    from genestill.evaluation.contig_peers.kraken2 import run_kraken2

    megabytes = settings_of(Kraken2SizeSettings, options).megabytes
    run_kraken2(*_sources_of_kraken2(options), options.output, megabytes=megabytes)


def _add_kraken2_virtual(commands) -> None:
    summary = "run kraken2 for virtual references, each with a separate database of its genomes"
    parser = commands.add_parser("kraken2-virtual", help=summary, description=summary)
    _add_sources_of_kraken2(parser)
    _add_withheld(parser)
    add_settings(parser, Kraken2ReferenceSettings)
    parser.add_argument("--output", required=True, metavar="TSV", help="seconds by reference")
    parser.set_defaults(run=_run_kraken2_virtual)


def _add_withheld(parser) -> None:
    parser.add_argument("--withheld", required=True, metavar="TSV", help="output of 'reference withheld'")
    parser.add_argument("--community", required=True, metavar="NAME", help="community in that table")
    parser.add_argument("--virtual", required=True, metavar="FOLDER", help="output of 'labels withhold'")


def _run_kraken2_virtual(options) -> None:
    from genestill.evaluation.contig_peers.kraken2 import run_kraken2_virtual

    number = settings_of(Kraken2ReferenceSettings, options).kraken2_references
    where = (options.withheld, options.community, number, options.virtual, options.output)
    run_kraken2_virtual(_sources_of_kraken2(options), *where)


def _add_diamond(commands) -> None:
    summary = "predict the genes of contigs and search them in the proteins of the reference with DIAMOND"
    parser = commands.add_parser("diamond", help=summary, description=summary)
    add_contigs_and_index(parser)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes, with the column file")
    parser.add_argument("--proteins", required=True, metavar="FOLDER", help="output of 'reference proteins'")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of Pyrodigal and DIAMOND (default 1)")
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
    parser.add_argument(
        "--genomes-folder", required=True, metavar="FOLDER", help="folder with the files of the genomes"
    )
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of Metabuli (default 1)")
    parser.add_argument("--output", required=True, metavar="TSV", help="Metabuli's classification of each contig")
    parser.set_defaults(run=_run_metabuli)


def _run_metabuli(options) -> None:
    from genestill.evaluation.contig_peers.metabuli import run_metabuli

    where = (options.genomes, options.genomes_folder, options.taxonomy, options.threads, options.output)
    run_metabuli(options.contigs, *where)


def _add_evidence(parser) -> None:
    parser.add_argument("--index", required=True, metavar="PARQUET", help="output of 'reference contigs'")
    parser.add_argument("--labels", required=True, metavar="PARQUET", help="labels of MMseqs2")
    parser.add_argument("--taxonomy", required=True, metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--abundance", metavar="PARQUET", help="read depths from 'reference contigs'")
    parser.add_argument("--alignments", metavar="PARQUET", help="output of 'labels align'")
    parser.add_argument("--kraken2", metavar="PARQUET", help="output of 'evaluation kraken2'")
    parser.add_argument("--genes", metavar="PARQUET", help="output of 'evaluation diamond'")
    parser.add_argument("--bins", metavar="FOLDER", help="output of 'vamb bin default'")
    parser.add_argument("--metabuli", metavar="TSV", help="output of 'evaluation metabuli'")


def _add_peer(commands) -> None:
    summary = "compute the calls of a peer from the evidence of its programs"
    parser = commands.add_parser("peer", help=summary, description=summary)
    parser.add_argument("--name", required=True, help="the peer, such as minimap2 or bag-rule")
    _add_evidence(parser)
    parser.add_argument("--thresholds", metavar="TSV", help="thresholds that were chosen (columns model, threshold)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the predictions")
    parser.add_argument("--output-tsv", metavar="TSV", help="the same as labels for Taxometer")
    parser.set_defaults(run=_run_peer)


def _run_peer(options) -> None:
    from genestill.evaluation.contig_peers.calling import call_peer

    call_peer(options.name, _evidence(options), options.thresholds, options.output, options.output_tsv)


def _evidence(options):
    from genestill.evaluation.contig_peers.evidence import read_evidence

    names = ("index", "labels", "taxonomy", "abundance", "alignments", "kraken2", "genes", "bins", "metabuli")
    return read_evidence(**{name: getattr(options, name) for name in names})


def _add_peer_scores(commands) -> None:
    summary = "count outcomes of peers, at all their thresholds, on the virtual references of a community"
    parser = commands.add_parser("peer-scores", help=summary, description=summary)
    _add_evidence(parser)
    parser.add_argument("--truth", required=True, metavar="PARQUET", help="ground truth")
    _add_withheld(parser)
    parser.add_argument(
        "--models",
        nargs="*",
        default=[],
        metavar="NAME",
        help="models to count instead of peers, with predictions in the references' folders (NAME.seed1.parquet, …)",
    )
    parser.add_argument("--output", required=True, metavar="PARQUET", help="outcomes by reference, model and genus")
    parser.set_defaults(run=_run_peer_scores)


def _run_peer_scores(options) -> None:
    from genestill.evaluation.contig_peers.selection import score_peers

    where = (options.truth, options.withheld, options.community, options.virtual, options.models, options.output)
    score_peers(_evidence(options), *where)


def _add_peer_thresholds(commands) -> None:
    summary = "choose the thresholds of peers and the strongest peer on the fitting half of virtual references"
    parser = commands.add_parser("peer-thresholds", help=summary, description=summary)
    parser.add_argument("--scores", required=True, nargs="+", metavar="PARQUET", help="output of 'peer-scores'")
    parser.add_argument(
        "--output", required=True, metavar="TSV", help="model, threshold, and whether it is the strongest"
    )
    parser.set_defaults(run=_run_peer_thresholds)


def _run_peer_thresholds(options) -> None:
    from genestill.evaluation.contig_peers.judging import write_thresholds

    write_thresholds(options.scores, options.output)


def _add_judge_virtual(commands) -> None:
    summary = "score peers and models on the judging half of virtual references, with intervals over families"
    parser = commands.add_parser("judge-virtual", help=summary, description=summary)
    parser.add_argument("--scores", required=True, nargs="+", metavar="PARQUET", help="output of 'peer-scores'")
    parser.add_argument("--thresholds", required=True, metavar="TSV", help="output of 'peer-thresholds'")
    parser.add_argument("--dataset", default="virtual", metavar="NAME", help="name in the table (default: virtual)")
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="PARQUET", help="metrics; those with hindsight are marked")
    parser.set_defaults(run=_run_judge_virtual)


def _run_judge_virtual(options) -> None:
    from genestill.evaluation.contig_peers.judging import write_judgement

    write_judgement(options.scores, options.thresholds, options.dataset, options.seed, options.output)
