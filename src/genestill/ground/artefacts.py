"""What crosses a rule boundary: the schema of every Parquet table, in one place.

Rank columns hold names, null below the assigned rank. Identity and coverage are shares between 0 and 1.
"""

import pyarrow as pa

from genestill.ground.lineage import NO_LINEAGE, RANKS, Lineage

_RANK_FIELDS = [pa.field(rank, pa.string()) for rank in RANKS]

# reference: one row a sequence, in the order of the FASTA file. checksum: first 16 hex digits of the bases' SHA-256.
INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("length", pa.int64()),
        ("gc", pa.float32()),
        ("sample", pa.string()),
        ("checksum", pa.string()),
    ]
)

# reference: the right answer, where it is known. status: exact, known (other strain), species, genus, family
# (that rank is absent from the reference, so the right answer stops above it).
TRUTH = pa.schema(
    [
        pa.field("id", pa.string()),
        *_RANK_FIELDS,
        ("genome", pa.string()),
        ("length", pa.int64()),
        ("status", pa.string()),
    ]
)

# labels: one row a contig of the index, in its order. support: share of the evidence for the label, null if unknown.
LABELS = pa.schema([pa.field("id", pa.string()), *_RANK_FIELDS, ("taxid", pa.int64()), ("support", pa.float32())])

# labels: what the search saw, one row a (fragment, target): best hits of each open reading frame of a contig.
HITS = pa.schema(
    [
        ("id", pa.string()),  # contig
        ("fragment", pa.int32()),  # number of the open reading frame within its contig
        ("fragment_length", pa.int32()),  # amino acids
        ("target_taxid", pa.int64()),
        ("identity", pa.float32()),
        ("bits", pa.float32()),
        ("alignment_length", pa.int32()),  # amino acids
    ]
)

# teacher: soft labels; nodes index the label tree saved beside the table.
SOFT_LABELS = pa.schema(
    [("id", pa.string()), ("nodes", pa.list_(pa.int32())), ("probabilities", pa.list_(pa.float32()))]
)

# student and every peer: the best path with a confidence at every rank, and how far down it is accepted.
# accepted: number of ranks accepted at the threshold (0 to 7); reason: why the lineage stops where it stops.
PREDICTIONS = pa.schema(
    [
        pa.field("id", pa.string()),
        *_RANK_FIELDS,
        *[pa.field(f"confidence_{rank}", pa.float32()) for rank in RANKS],
        ("accepted", pa.int8()),
        ("reason", pa.string()),
    ]
)

# evaluation: one tidy table for every benchmark. value may be null (undefined); n: how many units stand behind it.
METRICS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("dataset", pa.string()),
        ("task", pa.string()),
        ("model", pa.string()),
        ("split", pa.string()),
        ("seed", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
    ]
)


def embeddings(size: int) -> pa.Schema:
    """teacher, student: one row a sequence; ``size`` is the width of the embedding.

    Metadata of the file: teacher, revision, layer, pooling, dtype, tokenizer, input, version.
    """
    return pa.schema(
        [
            ("id", pa.string()),
            ("embedding", pa.list_(pa.float16(), size)),
            ("tokens", pa.int32()),
            ("truncated", pa.bool_()),
        ]
    )


def lineages_of(table) -> list[Lineage]:
    """The seven rank columns of a data frame (labels, truth, predictions) as lineages; nulls and NaN become None."""
    columns = [table[rank].astype(object).where(table[rank].notna(), None).tolist() for rank in RANKS]
    return list(zip(*columns, strict=True)) if len(table) else []


def rank_columns(lineages: list[Lineage]) -> dict[str, list[str | None]]:
    """The inverse of `lineages_of`: a dict of seven columns."""
    columns = list(zip(*lineages, strict=True)) if lineages else [()] * len(NO_LINEAGE)
    return {rank: list(column) for rank, column in zip(RANKS, columns, strict=True)}


def token_features(size: int) -> pa.Schema:
    """teacher: features of every token of a sequence, row-major [tokens, size], with the bases each token covers."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("start", pa.list_(pa.int32())),  # 0-based offset of a token's first base
            ("stop", pa.list_(pa.int32())),  # offset after its last base
            ("features", pa.list_(pa.float16())),
        ],
        metadata={"size": str(size)},
    )


# teacher: log-probabilities of A, C, G, T at every base, row-major [bases, 4]; natural logarithm.
BASE_LOG_PROBABILITIES = pa.schema([("id", pa.string()), ("log_probabilities", pa.list_(pa.float16()))])

# reference: transcripts, spliced and in the sense of transcription. cds and splice are tracks of 0 and 1, one number a
# base (mRNABench's six-track input): cds marks the first base of each codon, splice the last base of each exon.
TRANSCRIPTS = pa.schema(
    [
        ("id", pa.string()),
        ("gene", pa.string()),
        ("chromosome", pa.string()),
        ("sequence", pa.string()),
        ("cds", pa.list_(pa.int8())),
        ("splice", pa.list_(pa.int8())),
        ("length", pa.int32()),
    ]
)

# reference: one probe task, one row a transcript. transcript: the id under which its sequence is embedded (one id a
# distinct sequence, over all tasks). targets: one number (regression; classes 0 and 1) or several (multilabel); NaN:
# not measured. Metadata of the file: task, kind, split, targets, group.
PROBE_TASK = pa.schema(
    [
        ("id", pa.string()),
        ("transcript", pa.string()),
        ("gene", pa.string()),
        ("chromosome", pa.string()),
        ("sequence", pa.string()),
        ("cds", pa.list_(pa.int8())),
        ("splice", pa.list_(pa.int8())),
        ("targets", pa.list_(pa.float64())),
    ]
)

# reference: homology groups of transcripts (corpus and tasks together): one number a cluster.
HOMOLOGY_GROUPS = pa.schema([("id", pa.string()), ("group", pa.int64())])

# student, evaluation's baselines: what a model says of the test rows of a task table (sequence, label, split).
# row: 0-based row of the table; probabilities: one a class, in the order of the metadata's "classes" (a JSON list).
# Metadata of the file: classes, and how the model was fitted.
TASK_PREDICTIONS = pa.schema(
    [
        ("task", pa.string()),
        ("model", pa.string()),
        ("seed", pa.int64()),
        ("fold", pa.int32()),
        ("row", pa.int64()),
        ("label", pa.string()),
        ("predicted", pa.string()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)

# evaluation: what a linear probe said about its test rows, one row a (seed, transcript).
PROBE_PREDICTIONS = pa.schema(
    [
        ("task", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("seed", pa.int64()),
        ("id", pa.string()),
        ("group", pa.int64()),
        ("targets", pa.list_(pa.float64())),
        ("predictions", pa.list_(pa.float64())),
    ]
)

# evaluation: what became of the contigs of each genome, by model, run and rank: what a benchmark over several
# communities resamples. threshold: the model's own, or the fixed score above which its calls count. absent: contigs
# whose taxon at that rank the reference lacks; absent_called: those that the model names there nevertheless.
TALLIES = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("seed", pa.int64()),
        ("threshold", pa.string()),
        ("rank", pa.string()),
        ("genome", pa.string()),
        ("correct", pa.int64()),
        ("wrong", pa.int64()),
        ("none", pa.int64()),
        ("absent", pa.int64()),
        ("absent_called", pa.int64()),
    ]
)
