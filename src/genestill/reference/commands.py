"""The commands of the reference stage."""

from genestill.core.label_formats.registry import FORMATS
from genestill.core.options import thread_count
from genestill.core.settings import add_settings, settings_of
from genestill.reference.genome_commands import add_commands as add_genome_commands
from genestill.reference.genome_commands import add_genomes
from genestill.reference.settings import ContigSettings
from genestill.reference.transcript_commands import add_commands as add_transcript_commands


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill reference``."""
    _add_contigs(commands)
    _add_truth(commands)
    _add_taxonomy(commands)
    _add_proteins(commands)
    _add_database(commands)
    _add_fetch(commands)
    _add_published_task(commands)
    _add_fetch_genomes(commands)
    _add_fetch_regions(commands)
    _add_cut_contigs(commands)
    _add_unpack(commands)
    _add_sample_depth(commands)
    _add_merge_depths(commands)
    _add_gold_standard(commands)
    add_genome_commands(commands)
    add_transcript_commands(commands)


def _add_contigs(commands) -> None:
    summary = "check contigs, abundances, labels and truth together, and index them"
    parser = commands.add_parser("contigs", help=summary, description=summary)
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="contigs, compressed or not")
    depths = parser.add_mutually_exclusive_group()
    depths.add_argument(
        "--abundance",
        nargs="+",
        default=[],
        metavar="TABLE",
        help="depths of one or more samples: MetaBAT, CoverM, samtools coverage, VAMB, …",
    )
    depths.add_argument(
        "--bam", nargs="+", default=[], metavar="BAM", help="alignments instead (BAM, CRAM, SAM), one per sample"
    )
    parser.add_argument("--labels", metavar="FILE", help="the table of labels that the run will import")
    parser.add_argument("--labels-format", default="auto", choices=FORMATS, help="its format (default: %(default)s)")
    parser.add_argument("--truth", metavar="TSV", help="contig, lineage, genome, length, status, chimera")
    parser.add_argument("--reference", metavar="TSV", help="table of the reference genomes")
    parser.add_argument(
        "--genomes-folder", metavar="FOLDER", help="folder with their files (default: that of the table)"
    )
    parser.add_argument("--species-sets", metavar="TSV", help="output of 'reference species-sets'; with --identities")
    parser.add_argument("--identities", metavar="TSV", help="identities of the genomes, of the same command")
    add_settings(parser, ContigSettings)
    parser.add_argument("--output-index", required=True, metavar="PARQUET", help="the contigs that are used")
    parser.add_argument("--output-abundance", required=True, metavar="PARQUET", help="their abundances, by sample")
    parser.add_argument("--output-vamb", metavar="TSV", help="the same in VAMB's format")
    parser.add_argument("--output-truth", metavar="PARQUET", help="their truth; needs --truth")
    parser.set_defaults(run=_run_contigs)


def _run_contigs(options) -> None:
    from genestill.core.errors import InputError
    from genestill.reference.contigs import prepare_contigs

    if (options.truth is None) != (options.output_truth is None):
        raise InputError("--truth and --output-truth go together; only one of them is given")
    if (options.species_sets is None) != (options.identities is None):
        raise InputError("--species-sets and --identities go together; only one of them is given")
    prepare_contigs(
        options.contigs,
        settings_of(ContigSettings, options).minimum_length,
        options.output_index,
        options.output_abundance,
        options.output_truth,
        abundance=options.abundance,
        bam=options.bam,
        labels=options.labels,
        labels_format=options.labels_format,
        truth=options.truth,
        reference=options.reference,
        genomes=options.genomes_folder,
        output_vamb=options.output_vamb,
        species_sets=options.species_sets,
        identities=options.identities,
    )


def _add_truth(commands) -> None:
    summary = "read ground truth without contigs, only for scoring predictions"
    parser = commands.add_parser("truth", help=summary, description=summary)
    parser.add_argument(
        "--truth",
        nargs="+",
        required=True,
        metavar="FILE",
        help="contig, lineage, …; or CAMI's gold standard (parts)",
    )
    parser.add_argument("--taxonomy", metavar="FOLDER", help="output of 'reference taxonomy'; for taxids")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the ground truth")
    parser.set_defaults(run=_run_truth)


def _run_truth(options) -> None:
    from genestill.reference.truth import write_truth

    write_truth(options.truth, options.taxonomy, options.output)


def _add_taxonomy(commands) -> None:
    summary = "write the taxonomy of the reference as an NCBI-style dump with seven-rank lineages"
    parser = commands.add_parser(
        "taxonomy", help=summary, description=f"{summary}. Give one of the first three, or a dump."
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--genomes", metavar="TSV", help="table of genomes: file, and lineage or taxid")
    source.add_argument("--database", metavar="DATABASE", help="an existing MMseqs2 taxonomy database instead")
    source.add_argument("--labels", metavar="FILE", help="a table of labels with lineages as text instead")
    parser.add_argument("--labels-format", default="auto", choices=FORMATS, help="its format (default: %(default)s)")
    parser.add_argument("--genomes-folder", metavar="FOLDER", help="folder with the files (default: that of the table)")
    parser.add_argument("--taxdump", metavar="FOLDER", help="NCBI taxonomy dump: alone, or for genomes with taxids")
    parser.add_argument(
        "--truth", metavar="PARQUET", help="ground truth; refused if the taxonomy has none of the names"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="nodes.dmp, names.dmp, …, lineages.tsv")
    parser.set_defaults(run=_run_taxonomy)


def _run_taxonomy(options) -> None:
    from genestill.core.errors import InputError
    from genestill.reference import taxonomy
    from genestill.reference.database import report_taxonomy
    from genestill.reference.genomes import read_genomes

    if options.database is not None:
        report_taxonomy(options.database, options.output)
    elif options.genomes is not None:
        genomes = read_genomes(options.genomes, options.genomes_folder)
        taxonomy.make_taxonomy(genomes, options.taxdump, options.output)
    elif options.labels is not None:
        taxonomy.make_taxonomy_of_labels(options.labels, options.labels_format, options.output)
    elif options.taxdump is not None:
        taxonomy.make_taxonomy_of_taxdump(options.taxdump, options.output)
    else:
        raise InputError("no taxonomy: expected one of --genomes, --database, --labels or --taxdump")
    if options.truth is not None:
        taxonomy.check_truth(options.truth, options.output)


def _add_proteins(commands) -> None:
    summary = "predict the proteins of the reference genomes with Pyrodigal"
    parser = commands.add_parser("proteins", help=summary, description=summary)
    add_genomes(parser)
    parser.add_argument("--threads", type=thread_count, default=1, help="genomes in parallel (default 1)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for <genome>.faa; kept on a restart")
    parser.set_defaults(run=_run_proteins)


def _run_proteins(options) -> dict:
    from genestill.core.files import checksums_of
    from genestill.reference.genomes import read_genomes
    from genestill.reference.proteins import predict_proteins

    genomes = read_genomes(options.genomes, options.genomes_folder)
    version = predict_proteins(genomes, options.threads, options.output)
    return {"pyrodigal": version, "checksums": checksums_of(genome.path for genome in genomes)}


def _add_database(commands) -> None:
    summary = "make the MMseqs2 taxonomy database from proteins, or link or download an existing one"
    parser = commands.add_parser("database", help=summary, description=summary)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--proteins", metavar="FOLDER", help="output of 'reference proteins'; needs --taxonomy")
    source.add_argument("--ready", metavar="DATABASE", help="path of a taxonomy database, or a name to download (GTDB)")
    parser.add_argument("--taxonomy", metavar="FOLDER", help="output of 'reference taxonomy'")
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of MMseqs2 (default 1)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for the database 'proteins'")
    parser.set_defaults(run=_run_database)


def _run_database(options) -> dict:
    from genestill.core.errors import InputError
    from genestill.core.programs import mmseqs_version
    from genestill.reference.database import fetch_database, make_database

    if options.ready is not None:
        fetch_database(options.ready, options.output, options.threads)
    elif options.taxonomy is None:
        raise InputError("--proteins needs --taxonomy, the folder that 'genestill reference taxonomy' wrote")
    else:
        make_database(options.proteins, options.taxonomy, options.output)
    return {"mmseqs2": mmseqs_version()}


def _add_fetch(commands) -> None:
    summary = "download a file, with retries, resuming and verification"
    parser = commands.add_parser("fetch", help=summary, description=summary)
    parser.add_argument("--url", required=True, help="address, http:// or https://")
    parser.add_argument("--checksum", metavar="ALGORITHM:HEX", help="sha256:…, sha1:… or md5:…, as published")
    parser.add_argument("--bytes", type=int, metavar="N", help="size, as published")
    parser.add_argument(
        "--attempts", type=int, default=6, metavar="N", help="consecutive failures after which to give up (default 6)"
    )
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="read timeout (default 60)")
    parser.add_argument("--output", required=True, metavar="FILE", help="the file")
    parser.set_defaults(run=_run_fetch)


def _run_fetch(options) -> None:
    from genestill.reference.download import fetch

    fetch(options.url, options.output, options.checksum, options.bytes, options.attempts, options.timeout)


def _add_published_task(commands) -> None:
    summary = "download the table of a published sequence task"
    parser = commands.add_parser("published-task", help=summary, description=summary)
    parser.add_argument("--task", required=True, metavar="BENCHMARK/TASK", help="as in resources/sequence_tasks.tsv")
    parser.add_argument("--sources", required=True, metavar="TSV", help="addresses of the benchmarks")
    parser.add_argument("--files", required=True, metavar="TSV", help="files of tasks that are listed separately")
    parser.add_argument("--rows", required=True, metavar="TSV", help="rows and splits of files without splits")
    parser.add_argument("--downloads", required=True, metavar="FOLDER", help="where downloaded files are kept")
    parser.add_argument("--output", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.set_defaults(run=_run_published_task)


def _run_published_task(options) -> None:
    from genestill.reference.published_tasks import fetch_task

    fetch_task(options.task, options.sources, options.files, options.rows, options.downloads, options.output)


def _add_fetch_genomes(commands) -> None:
    summary = "download genomes by accession, and write the table of genomes beside them"
    parser = commands.add_parser("fetch-genomes", help=summary, description=summary)
    parser.add_argument("--table", required=True, metavar="TSV", help="such as resources/genomes.tsv")
    parser.add_argument("--output", required=True, metavar="TSV", help="the table; files are written to its folder")
    parser.set_defaults(run=_run_fetch_genomes)


def _run_fetch_genomes(options) -> None:
    from genestill.reference.published_genomes import fetch_genomes

    fetch_genomes(options.table, options.output)


def _add_fetch_regions(commands) -> None:
    summary = "download eukaryotic DNA, and write the table of genomes beside it"
    parser = commands.add_parser("fetch-regions", help=summary, description=summary)
    parser.add_argument("--sources", required=True, metavar="TSV", help="such as resources/regions.tsv")
    parser.add_argument("--genomes", required=True, metavar="TSV", help="such as config/eukaryotes.tsv")
    parser.add_argument("--downloads", required=True, metavar="FOLDER", help="where downloaded files are kept")
    parser.add_argument(
        "--output", required=True, metavar="TSV", help="the table; FASTA files are written to its folder"
    )
    parser.set_defaults(run=_run_fetch_regions)


def _run_fetch_regions(options) -> None:
    from genestill.reference.published_regions import fetch_regions

    fetch_regions(options.sources, options.genomes, options.downloads, options.output)


def _add_cut_contigs(commands) -> None:
    summary = "cut the contigs of a published community from its genomes at published positions"
    parser = commands.add_parser("cut-contigs", help=summary, description=summary)
    parser.add_argument("--positions", required=True, metavar="TSV", help="such as resources/community/contigs.tsv.gz")
    parser.add_argument("--genomes", required=True, metavar="TSV", help="file and lineage; files are beside the table")
    parser.add_argument("--held", required=True, metavar="TSV", help="the files of the genomes in the reference")
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="contigs.fna.gz, truth.tsv, abundance.tsv, reference.tsv"
    )
    parser.set_defaults(run=_run_cut_contigs)


def _run_cut_contigs(options) -> None:
    from genestill.reference.published_contigs import cut_contigs

    cut_contigs(options.positions, options.genomes, options.held, options.output)


def _add_unpack(commands) -> None:
    summary = "unpack files of a tar or zip archive; no file is written outside the folder"
    parser = commands.add_parser("unpack", help=summary, description=summary)
    parser.add_argument("--archive", required=True, metavar="FILE", help="tar (plain, gzip, bzip2, xz) or zip")
    parser.add_argument("--wanted", nargs="+", default=["*"], metavar="PATTERN", help="names inside (default: all)")
    parser.add_argument(
        "--maximum-bytes", type=int, default=100_000_000_000, metavar="N", help="of all files together (default 1e11)"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the folder; replaced as a whole")
    parser.set_defaults(run=_run_unpack)


def _run_unpack(options) -> None:
    from genestill.reference.archive import unpack

    unpack(options.archive, options.output, options.wanted, options.maximum_bytes)


def _add_gold_standard(commands) -> None:
    summary = "collect the samples of a CAMI data set: contigs in one file, gold standards as lineages"
    parser = commands.add_parser("gold-standard", help=summary, description=summary)
    parser.add_argument("--contigs", nargs="+", required=True, metavar="FASTA", help="contigs, one file per sample")
    parser.add_argument("--mappings", nargs="+", required=True, metavar="TSV", help="their mappings or binnings")
    parser.add_argument("--taxdump", required=True, metavar="FOLDER", help="nodes.dmp, names.dmp, …")
    parser.add_argument(
        "--gtdb", nargs="+", default=[], metavar="TSV", help="GTDB's metadata; the answers get GTDB's names"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="contigs.fna.gz, truth.tsv, summary.json")
    parser.set_defaults(run=_run_gold_standard)


def _run_gold_standard(options) -> None:
    from genestill.reference.gold_standard import write_gold_standard

    write_gold_standard(options.contigs, options.mappings, options.taxdump, options.output, options.gtdb)


def _add_sample_depth(commands) -> None:
    summary = "estimate the depth of each contig in a sample of reads with strobealign"
    parser = commands.add_parser("sample-depth", help=summary, description=summary)
    parser.add_argument("--contigs", required=True, metavar="FASTA", help="contigs, compressed or not")
    parser.add_argument(
        "--reads", required=True, metavar="FASTQ", help="interleaved pairs, or a folder that contains them"
    )
    parser.add_argument("--threads", type=thread_count, default=1, help="threads of strobealign (default 1)")
    parser.add_argument("--output", required=True, metavar="TSV", help="contig and depth, without a header")
    parser.set_defaults(run=_run_sample_depth)


def _run_sample_depth(options) -> None:
    from genestill.reference.sample_depths import measure_depth

    measure_depth(options.contigs, options.reads, options.threads, options.output)


def _add_merge_depths(commands) -> None:
    summary = "join the depths of samples into one table"
    parser = commands.add_parser("merge-depths", help=summary, description=summary)
    parser.add_argument("--depths", nargs="+", required=True, metavar="TSV", help="output of 'sample-depth'")
    parser.add_argument("--output", required=True, metavar="TSV", help="one row per contig, one column per sample")
    parser.set_defaults(run=_run_merge_depths)


def _run_merge_depths(options) -> None:
    from genestill.reference.sample_depths import merge_depths

    merge_depths(options.depths, options.output)
