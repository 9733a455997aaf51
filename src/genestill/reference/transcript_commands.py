"""The commands of the ``mrna`` recipe in the reference stage: from tables and transcriptomes to tasks and pairs."""

from genestill.core.options import add_seed, name_and_value, thread_count
from genestill.core.settings import add_settings, settings_of
from genestill.reference.settings import HomologySettings, ProbeTaskSettings, TranscriptSettings


def add_commands(commands) -> None:
    """Add the commands of this module to ``genestill reference``."""
    _add_simulated(commands)
    _add_tables(commands)
    _add_transcripts(commands)
    _add_task(commands)
    _add_relatives(commands)
    _add_pairs(commands)


def _add_simulated(commands) -> None:
    summary = "simulate a small transcriptome: genome, annotation and tables of targets, from a seed"
    parser = commands.add_parser("simulate-transcriptome", help=summary, description=summary)
    parser.add_argument("--genes", type=int, default=400, help="in the genome, and also in the tables (%(default)s)")
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="genome, annotation, tasks, classes")
    parser.set_defaults(run=_run_simulated)


def _run_simulated(options) -> None:
    from genestill.reference.simulated_transcripts import write_transcriptome

    write_transcriptome(options.output, options.genes, options.seed)


# Option -> its help.
_PUBLISHED_FILES = {
    "transcripts": "FASTA of CPAT's coding transcripts",
    "models": "their exons and coding sequences, BED12",
    "half_lives": "half-lives of Saluki, TSV",
    "efficiencies": "translation efficiencies of TE_classic_ML, CSV",
    "transcript_abundance": "E. coli of CaLM, CSV",
    "protein_abundance": "the same, with abundances of proteins",
    "decay": "test data of iCodon, R data",
    "genes": "genes of the transcripts, TSV with refseq, ensembl_gene, symbol",
}


def _add_tables(commands) -> None:
    summary = "make tables of transcripts with measured targets from the files of their publications"
    parser = commands.add_parser("transcript-tables", help=summary, description=summary)
    for name, described in _PUBLISHED_FILES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, metavar="FILE", help=described)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="four tables")
    parser.set_defaults(run=_run_tables)


def _run_tables(options) -> None:
    from genestill.reference.published_transcripts import PublishedFiles, write_transcript_tables

    files = PublishedFiles(**{name: getattr(options, name) for name in _PUBLISHED_FILES})
    write_transcript_tables(files, options.output)


def _add_transcripts(commands) -> None:
    summary = "collect transcripts from FASTA, from genome + annotation (GTF, GFF3, BED12), and from tables"
    parser = commands.add_parser("transcripts", help=summary, description=summary)
    parser.add_argument(
        "--source",
        required=True,
        action="append",
        type=name_and_value,
        metavar="NAME=FASTA | NAME=GENOME,ANNOTATION | NAME=TABLE:key=column,…",
        help="may be given more than once; keys of a table: sequence, id, gene, symbol, chromosome, cds_start, "
        "cds_end, exon_sizes, cds (a track, or whole), splice (a track), header=no (then columns are 1, 2, …), "
        "sample=N (rows to draw)",
    )
    add_settings(parser, TranscriptSettings)
    add_seed(parser, "the samples")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="transcripts.parquet and .json")
    parser.set_defaults(run=_run_transcripts)


def _open_source(place: str, seed: int, *counted):
    """Open a source of transcripts given on the command line; ``seed`` is used for the sample of a table.

    ``counted``: objects that count the transcripts of an annotation that are left out, and those without codons.
    """
    from pathlib import Path

    import numpy as np

    from genestill.reference import transcripts

    if "," in place and ":" not in place:
        genome, annotation = place.split(",", 1)
        return transcripts.transcripts_of_genome(genome, annotation, *counted)
    path, _, keys = place.partition(":")
    if keys or Path(path).suffix == ".parquet" or ".tsv" in Path(path).suffixes:
        columns, header, sample = _columns(keys)
        rows = transcripts.read_rows(path, header)
        if sample and sample < len(rows):
            rows = rows.iloc[np.sort(np.random.default_rng(seed).choice(len(rows), sample, replace=False))]
        return transcripts.transcripts_of_table(path, rows, columns)
    return transcripts.transcripts_of_fasta(path)


def _columns(keys: str):
    from genestill.core.errors import InputError
    from genestill.reference.transcripts import Columns

    pairs = dict(pair.partition("=")[::2] for pair in keys.split(",") if pair)
    header = pairs.pop("header", "yes") != "no"
    sample = pairs.pop("sample", "0")
    try:
        return Columns(**pairs), header, int(sample)
    except ValueError:
        raise InputError(f"columns {keys!r}: sample is {sample!r}; expected a number of rows") from None
    except TypeError:
        known = ", ".join([*Columns.__dataclass_fields__, "header", "sample"])
        raise InputError(f"columns {keys!r}: unknown key; expected some of {known}") from None


def _files_of(place: str) -> list[str]:
    path, keys, _ = place.partition(":")
    return [path] if keys else path.split(",", 1)


def _run_transcripts(options) -> dict:
    from genestill.core.cells import LeftOut
    from genestill.core.files import checksums_of
    from genestill.reference.transcripts import collect_corpus, write_transcripts

    counted = {name: (LeftOut(), LeftOut()) for name, _ in options.source}
    sources = {name: _open_source(place, options.seed, *counted[name]) for name, place in options.source}
    lengths = settings_of(TranscriptSettings, options)
    kept, counts = collect_corpus(sources, lengths.shortest, lengths.longest)
    for name, (left_out, without_codons) in counted.items():
        counts[name] |= {"left_out": left_out.counts, "without_codons": without_codons.counts}
    write_transcripts(options.output, kept, {"counts": counts})
    return {"checksums": checksums_of(path for _, place in options.source for path in _files_of(place))}


def _add_task(commands) -> None:
    summary = "make a probe task: transcripts with measured targets, from a table or from one FASTA file per class"
    parser = commands.add_parser("task", help=summary, description=summary)
    parser.add_argument("--name", required=True, help="of the task")
    parser.add_argument("--table", metavar="TABLE:key=column,…", help="as --source of 'reference transcripts'")
    parser.add_argument(
        "--target", nargs="+", default=[], metavar="COLUMN", help="of the table; several, or one of lists: multilabel"
    )
    parser.add_argument("--classes", nargs=2, metavar="FASTA", help="instead of a table: class 0 and class 1")
    add_settings(parser, ProbeTaskSettings)
    add_settings(parser, TranscriptSettings, only=["longest"])
    add_seed(parser, "the draw")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="the task")
    parser.set_defaults(run=_run_task)


def _run_task(options) -> dict:
    import numpy as np

    from genestill.core.cells import LeftOut
    from genestill.core.errors import InputError
    from genestill.core.files import checksums_of
    from genestill.core.logs import logger
    from genestill.reference import probe_tasks, transcripts

    if (options.table is None) == (options.classes is None):
        raise InputError(f"task {options.name}: give either --table with --target, or --classes")
    settings = settings_of(ProbeTaskSettings, options)
    longest = settings_of(TranscriptSettings, options).longest
    if options.classes:
        parts = [list(transcripts.transcripts_of_fasta(path)) for path in options.classes]
        records = [transcript for part in parts for transcript in part]
        targets = np.repeat([0.0, 1.0], [len(part) for part in parts])[:, None]
        names = ["class"]
        left_out = ""
    else:
        path, _, keys = options.table.partition(":")
        columns, header, _ = _columns(keys)
        rows = transcripts.read_rows(path, header)
        records = transcripts.transcripts_of_table(path, rows, columns)
        names = options.target
        without = LeftOut()
        try:
            kept, targets = probe_tasks.read_targets(rows, names, settings.kind, settings.logarithm, without)
        except InputError as error:
            raise InputError(f"task {options.name}: {path}: {error}") from None
        without.report(f"task {options.name}: {path}", len(rows), "rows", settings.most_left_out)
        records = [records[row] for row in kept]
        left_out = f"{len(without):,} of {len(rows):,} rows left out: {without}" if len(without) else ""
    drawn = probe_tasks.draw_rows(len(records), settings.sample, options.seed)
    cut = sum(len(records[row].sequence) > longest for row in drawn) if longest else 0
    if cut:
        sentence = f"{cut:,} of {len(drawn):,} transcripts cut to {longest:,} bases around the start codon"
        logger.warning("task %s: %s", options.name, sentence)
        left_out = "; ".join(filter(None, (left_out, sentence)))
    table = probe_tasks.build_task(records, targets, settings.sample, longest, options.seed)
    probe_tasks.write_task(options.output, table, options.name, settings.kind, settings.split, names, left_out)
    return {"checksums": checksums_of(options.classes or _files_of(options.table))}


def _add_relatives(commands) -> None:
    summary = "remove relatives of the benchmark from the distillation set; find homology groups of the benchmark"
    parser = commands.add_parser("relatives", help=summary, description=summary)
    parser.add_argument("--transcripts", required=True, metavar="PARQUET", help="output of 'reference transcripts'")
    parser.add_argument("--tasks", required=True, nargs="+", metavar="PARQUET", help="output of 'reference task'")
    add_settings(parser, HomologySettings)
    parser.add_argument("--threads", type=thread_count, default=1, help="of MMseqs2 (default: %(default)s)")
    parser.add_argument(
        "--output-transcripts", required=True, metavar="FOLDER", help="the distillation set, without them"
    )
    parser.add_argument(
        "--output-benchmark", required=True, metavar="FOLDER", help="the distinct benchmark transcripts"
    )
    parser.add_argument("--output-groups", required=True, metavar="PARQUET", help="homology groups of the benchmark")
    parser.add_argument("--output-overlap", required=True, metavar="JSON", help="the measured overlap")
    parser.set_defaults(run=_run_relatives)


def _run_relatives(options) -> dict:
    from genestill.core.programs import mmseqs_version
    from genestill.reference.homology import separate_benchmark

    separate_benchmark(
        options.transcripts,
        options.tasks,
        settings_of(HomologySettings, options),
        options.threads,
        options.output_transcripts,
        options.output_benchmark,
        options.output_groups,
        options.output_overlap,
    )
    return {"mmseqs2": mmseqs_version()}


def _add_pairs(commands) -> None:
    summary = "pair the transcripts of a distillation set: isoforms, and orthologues by reciprocal best hits"
    parser = commands.add_parser("pair-transcripts", help=summary, description=summary)
    parser.add_argument("--transcripts", required=True, metavar="PARQUET", help="the distillation set")
    parser.add_argument(
        "--species",
        action="append",
        type=name_and_value,
        default=[],
        metavar="NAME=SOURCE,…",
        help="the sources of its transcripts; orthologues are searched between all pairs of species",
    )
    parser.add_argument("--threads", type=thread_count, default=1, help="of MMseqs2 (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="PARQUET", help="one row per transcript and relative")
    parser.set_defaults(run=_run_pairs)


def _run_pairs(options) -> dict:
    from genestill.core.programs import mmseqs_version
    from genestill.reference.transcript_pairs import pair_transcripts

    species = {name: value.split(",") for name, value in options.species}
    pairs = pair_transcripts(options.transcripts, species, options.threads, options.output)
    return {"mmseqs2": mmseqs_version(), "pairs": pairs}
