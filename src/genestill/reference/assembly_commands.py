"""The commands of an assembled community: ``mixture``, ``reads``, ``assembly``, ``mapping``, ``tracing``."""

from genestill.core.options import add_seed, name_and_value, thread_count
from genestill.core.settings import add_settings, settings_of
from genestill.reference.settings import AssemblySettings, CommunitySettings, ContigSettings


def add_commands(commands) -> None:
    """Add the commands of this module to ``genestill reference``."""
    _add_mixture(commands)
    _add_reads(commands)
    _add_assembly(commands)
    _add_mapping(commands)
    _add_tracing(commands)


def _add_mixture(commands) -> None:
    summary = (
        "choose the sources of the reads of an assembled community: chromosomes, plasmids, eukaryotes, with depths"
    )
    parser = commands.add_parser("mixture", help=summary, description=summary)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes: file and lineage")
    parser.add_argument("--genomes-folder", metavar="FOLDER", help="folder with the files (default: that of the table)")
    parser.add_argument(
        "--lineage-column", metavar="NAME", help="column of the lineages (default: lineage, else the seven ranks)"
    )
    parser.add_argument(
        "--eukaryotes", nargs="*", default=[], metavar="FASTA", help="genomes that are sequenced and in no reference"
    )
    add_seed(parser)
    add_settings(parser, CommunitySettings)
    add_settings(parser, AssemblySettings)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="genomes, others, sources and reference")
    parser.set_defaults(run=_run_mixture)


def _run_mixture(options) -> dict:
    from genestill.core.files import checksums_of
    from genestill.reference.mixture import write_mixture

    write_mixture(
        options.genomes,
        options.output,
        settings_of(CommunitySettings, options),
        settings_of(AssemblySettings, options),
        options.seed,
        options.genomes_folder,
        options.lineage_column,
        options.eukaryotes,
    )
    return {"checksums": checksums_of(options.eukaryotes)}


def _add_reads(commands) -> None:
    summary = "simulate the paired reads of one sample with ART"
    parser = commands.add_parser("reads", help=summary, description=summary)
    parser.add_argument("--mixture", required=True, metavar="FOLDER", help="output of 'reference mixture'")
    parser.add_argument("--sample", required=True, metavar="NAME", help="column of its sources.tsv")
    add_seed(parser)
    add_settings(parser, AssemblySettings)
    parser.add_argument(
        "--output", required=True, nargs=2, metavar="FASTQ", help="the first and the second reads, gzipped"
    )
    parser.set_defaults(run=_run_reads)


def _run_reads(options) -> None:
    from genestill.reference.assembly import simulate_reads

    settings = settings_of(AssemblySettings, options)
    simulate_reads(options.mixture, options.sample, settings, options.seed, *options.output)


def _add_assembly(commands) -> None:
    summary = "assemble the reads of all samples together with MEGAHIT"
    parser = commands.add_parser("assembly", help=summary, description=summary)
    parser.add_argument("--reads-1", required=True, nargs="+", metavar="FASTQ", help="first reads, one file per sample")
    parser.add_argument("--reads-2", required=True, nargs="+", metavar="FASTQ", help="second reads, in the same order")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of MEGAHIT (default 1)")
    parser.add_argument("--output", required=True, metavar="FASTA", help="the contigs")
    parser.set_defaults(run=_run_assembly)


def _run_assembly(options) -> None:
    from genestill.reference.assembly import assemble

    assemble(options.reads_1, options.reads_2, options.threads, options.output)


def _add_mapping(commands) -> None:
    summary = "compute the depths of contigs in one sample with minimap2 and samtools"
    parser = commands.add_parser("mapping", help=summary, description=summary)
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="the assembly")
    parser.add_argument("--reads", required=True, nargs=2, metavar="FASTQ", help="the first and the second reads")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of both programs (default 1)")
    parser.add_argument("--output", required=True, metavar="TSV", help="output of samtools coverage")
    parser.set_defaults(run=_run_mapping)


def _run_mapping(options) -> None:
    from genestill.reference.assembly import map_reads

    first, second = options.reads
    map_reads(options.contigs, first, second, options.threads, options.output)


def _add_tracing(commands) -> None:
    summary = "find the ground truth of assembled contigs by alignment to the sequenced genomes; chimeras are marked"
    parser = commands.add_parser("tracing", help=summary, description=summary)
    parser.add_argument("--mixture", required=True, metavar="FOLDER", help="output of 'reference mixture'")
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="the assembly")
    parser.add_argument(
        "--coverage",
        required=True,
        type=name_and_value,
        nargs="+",
        metavar="SAMPLE=TSV",
        help="output of 'reference mapping'",
    )
    add_settings(parser, ContigSettings)
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of minimap2 (default 1)")
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="folder for contigs, abundance, truth and reference"
    )
    parser.set_defaults(run=_run_tracing)


def _run_tracing(options) -> None:
    from genestill.reference.assembly import write_assembled_community

    write_assembled_community(
        options.mixture,
        options.contigs,
        dict(options.coverage),
        settings_of(ContigSettings, options).minimum_length,
        options.threads,
        options.output,
    )
