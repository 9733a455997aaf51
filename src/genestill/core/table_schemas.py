"""The schemas of all Parquet tables that are exchanged between rules.

The meaning and the unit of each column are stored in the files (metadata of the field) and shown in the documentation.
Identity and coverage are shares between 0 and 1.
"""

import pandas as pd
import pyarrow as pa

from genestill.core.kinds import KINDS
from genestill.core.lineage import NO_LINEAGE, RANKS, Lineage


def column(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    """A column with its meaning and its unit."""
    return pa.field(name, kind, metadata={"meaning": meaning, **({"unit": unit} if unit else {})})


_RANK_FIELDS = [column(rank, pa.string(), f"name at the rank {rank}; null below the assigned rank") for rank in RANKS]

# reference: one row per sequence, in the order of the FASTA file.
INDEX = pa.schema(
    [
        column("id", pa.string(), "name of the sequence: the first word of its FASTA header"),
        column("length", pa.int64(), "length of the sequence", "base pairs"),
        column("gc", pa.float32(), "G and C among the known bases", "share"),
        column("sample", pa.string(), "sample, if the contig's name contains it (VAMB's S<sample>C<contig>)"),
        column("checksum", pa.string(), "first 16 hexadecimal digits of the SHA-256 of the bases"),
    ]
)

# reference: the ground truth, if it is known.
TRUTH = pa.schema(
    [
        column("id", pa.string(), "contig"),
        *_RANK_FIELDS,
        column("genome", pa.string(), "genome that the contig comes from"),
        column("length", pa.int64(), "length of the contig", "base pairs"),
        column(
            "status",
            pa.string(),
            "what the reference contains: exact copy (the genome), other strain (of the species), or the highest "
            "rank that it lacks: absent species, absent genus, absent family, …, where the true lineage stops above "
            "that rank; no prokaryotic chromosome (plasmids, phages, eukaryotes: no true lineage)",
        ),
        column("chimera", pa.bool_(), "whether the contig is joined from several genomes; null if unknown"),
        column(
            "identity",
            pa.float32(),
            "average nucleotide identity of its genome and the nearest one of the reference; null if unknown or below "
            "about .8",
            "share",
        ),
        column(
            "same_species",
            pa.list_(pa.string()),
            "other names of its genus that are scored as the true species: sets of species within the species radius",
        ),
    ]
)

# labels: one row per contig of the index, in its order.
LABELS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        *_RANK_FIELDS,
        column("taxid", pa.int64(), "taxid of the label, in the taxonomy of the reference"),
        column("support", pa.float32(), "share of the evidence that agrees with the label; null if unknown", "share"),
    ]
)

# labels: hits of the protein search, one row per (fragment, target): best hits of each open reading frame of a contig.
HITS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        column("fragment", pa.int32(), "number of the open reading frame within its contig"),
        column("fragment_length", pa.int32(), "length of the open reading frame", "amino acids"),
        column("target_taxid", pa.int64(), "taxid of the protein that was hit"),
        column("identity", pa.float32(), "identical positions of the alignment", "share"),
        column("bits", pa.float32(), "bit score of the alignment", "bits"),
        column("alignment_length", pa.int32(), "length of the alignment", "amino acids"),
    ]
)

# labels: alignments of minimap2, one row per contig and genome.
ALIGNMENTS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        column("genome", pa.string(), "genome of the reference: its file's name without suffixes"),
        column("identity", pa.float32(), "gap-compressed identity: each gap counts once", "share"),
        column("matches", pa.int64(), "matching bases of all alignments to the genome", "base pairs"),
        column("aligned", pa.float32(), "bases of the contig that are aligned to the genome", "share"),
    ]
)

# teacher: soft labels; nodes are indices into the label tree beside the table.
SOFT_LABELS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        column("nodes", pa.list_(pa.int32()), "leaves of the label tree that have some probability, by number"),
        column("probabilities", pa.list_(pa.float32()), "probability of each of these leaves", "probability"),
    ]
)

# evaluation: taxon of each contig by Kraken 2 at each value of --confidence.
KRAKEN2_CALLS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        column("confidence", pa.float64(), "value of --confidence", "share"),
        column("taxid", pa.int64(), "taxid of the label; 0 without one"),
    ]
)

# evaluation: protein hits of the genes of contigs, the best hit per gene and genome.
GENE_HITS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        column("gene", pa.int32(), "number of the gene on the contig, from 1"),
        column("genome", pa.string(), "genome of the reference: its file's name without suffixes"),
        column("bits", pa.float32(), "bit score of the best protein of the genome", "bits"),
    ]
)

# evaluation: outcomes of the contigs of each genus with virtual references.
VIRTUAL_OUTCOME_COUNTS = pa.schema(
    [
        column("community", pa.string(), "community whose reference it is"),
        column("reference", pa.string(), "virtual reference, such as fitting-001"),
        column("half", pa.string(), "fitting or judging"),
        column("model", pa.string(), "who is counted"),
        column("seed", pa.int64(), "seed of the run; 0 for a peer"),
        column("threshold", pa.float64(), "threshold of the peer; null for a model's own"),
        column("rank", pa.string(), "rank"),
        column("family", pa.string(), "true family of the contigs, as a lineage"),
        column("genus", pa.string(), "their true genus, as a lineage"),
        column("exact", pa.bool_(), "whether they are cut from a genome that the virtual reference contains"),
        column("correct", pa.int64(), "contigs with a correct name at the rank", "contigs"),
        column("wrong", pa.int64(), "contigs with a wrong name at the rank", "contigs"),
        column("none", pa.int64(), "contigs without a name at the rank", "contigs"),
        column("absent", pa.int64(), "contigs whose taxon at the rank the virtual reference lacks", "contigs"),
        column("absent_called", pa.int64(), "number of these contigs that are named at the rank", "contigs"),
    ]
)

# student: the most probable lineage, with what the reason of a lineage that stops early needs.
LINEAGE_PROBABILITIES = pa.schema(
    [
        column("id", pa.string(), "contig"),
        *_RANK_FIELDS,
        *[column(f"second_{rank}", pa.string(), f"second most probable {rank} below the same name") for rank in RANKS],
        *[
            column(f"confidence_{rank}", pa.float32(), f"probability that the name at {rank} is right", "probability")
            for rank in RANKS
        ],
        *[
            column(f"second_confidence_{rank}", pa.float32(), f"probability of the second {rank}", "probability")
            for rank in RANKS
        ],
        *[
            column(f"absent_{rank}", pa.float32(), f"probability of a {rank} that the reference lacks", "probability")
            for rank in RANKS
        ],
    ]
)

# student and peers: the best path with a confidence at every rank, and the number of accepted ranks.
PREDICTIONS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        *_RANK_FIELDS,
        *[
            column(f"confidence_{rank}", pa.float32(), f"probability that the name at {rank} is right", "probability")
            for rank in RANKS
        ],
        column("accepted", pa.int8(), "how many ranks are accepted at the threshold: 0 (none) to 7 (species)", "ranks"),
        column("reason", pa.string(), "why the lineage stops above species; empty if it reaches species"),
    ]
)

# student: shares of samples that the reference lacks, by sample, rank and weight.
NOVEL_SHARES = pa.schema(
    [
        column("sample", pa.string(), "sample; empty for all of them"),
        column("rank", pa.string(), "species, genus or family"),
        column("weight", pa.string(), "weight of a contig: bases, or reads (bases times depth)"),
        column(
            "share", pa.float64(), "share whose taxon at the rank the reference lacks, of contigs with hits", "share"
        ),
        column("low", pa.float64(), "lower end of its 90 % interval; null where it is not calibrated", "share"),
        column("high", pa.float64(), "upper end of its 90 % interval; null where it is not calibrated", "share"),
        column("silent", pa.float64(), "share without hits, which is left out of the other shares", "share"),
        column("bases", pa.float64(), "total bases, or sequenced bases, for the shares", "base pairs"),
    ]
)

# student: groups of contigs, each probably of one genome, one row per group.
CONTIG_GROUPS = pa.schema(
    [
        column("group", pa.int64(), "number of the group, from 1: the largest first"),
        column("novel", pa.string(), "highest rank at which it is called novel: species, genus or family; null: none"),
        column("contigs", pa.int64(), "contigs of the group", "contigs"),
        column("bases", pa.int64(), "their bases", "base pairs"),
        column("depth", pa.float64(), "their mean depth, summed over samples; null without abundances", "fold"),
        column("nearest", pa.string(), "nearest species of the reference, as a lineage; null without hits"),
        column("identity_proteins", pa.float64(), "amino-acid identity to it; null without hits", "share"),
        column(
            "identity_nucleotides",
            pa.float64(),
            "gap-compressed identity of the alignments to genomes of it; null without alignments",
            "share",
        ),
        column("genes", pa.int64(), "genes with hits", "genes"),
        column("agreement", pa.float64(), "share of these genes whose best hit is in the nearest genus", "share"),
        *[
            column(f"absent_{rank}", pa.float64(), f"probability that the reference lacks the {rank}", "probability")
            for rank in ("species", "genus", "family")
        ],
    ]
)

# student: the group of each contig, in the order of the index.
GROUPED_CONTIGS = pa.schema(
    [
        column("id", pa.string(), "contig"),
        column("group", pa.int64(), "number of its group; null if the contig is set aside"),
        column("set_aside", pa.string(), "why the contig is set aside: plasmid, virus; else null"),
    ]
)

# evaluation: one tidy table for all benchmarks, one row per value; text that does not apply is empty.
METRICS = pa.schema(
    [
        column("benchmark", pa.string(), "kind of benchmark: taxonomy, a benchmark of sequence tasks, probes"),
        column("dataset", pa.string(), "dataset.name of the configuration"),
        column("sample", pa.string(), "sample of the data set; empty for all of them"),
        column("task", pa.string(), "rank, or task of the benchmark"),
        column("stratum", pa.string(), "part of the data: all, no exact, status=…, length=…, test, …"),
        column("metric", pa.string(), "what is measured"),
        column("weight", pa.string(), "weight of a unit, such as bases; empty if each counts once"),
        column("model", pa.string(), "model that is scored"),
        column("kind", pa.string(), f"kind of the model in the comparison: {', '.join(KINDS)}"),
        column("minus", pa.string(), "model whose value is subtracted, with its variant in parentheses; else empty"),
        column("variant", pa.string(), "how the model was used, as name=value, …, such as fit=probe"),
        column("threshold", pa.string(), "own, or the score above which calls are accepted; empty without a threshold"),
        column("seed", pa.int64(), "seed of the training; null without training, and for several seeds together"),
        column("fold", pa.int64(), "fold of the data, or seed of its split; null for all together"),
        column("value", pa.float64(), "the value; null if it is undefined"),
        column("low", pa.float64(), "lower end of its 95 % interval; null without one"),
        column("high", pa.float64(), "upper end of its 95 % interval; null without one"),
        column("n_trainings", pa.int64(), "number of trainings; 0 without training", "count"),
        column("n_units", pa.int64(), "number of units (contigs, sequences, tasks)", "count"),
        column("n_clusters", pa.int64(), "groups (genomes, homology groups, …) that the interval resamples", "count"),
    ]
)


def metrics_table(rows, **same) -> pd.DataFrame:
    """A table of `METRICS` from ``rows`` (dicts, or a data frame) with columns of its schema; ``same`` applies to all.

    Columns that no row has are empty (text) or null (numbers).
    """
    table = pd.DataFrame(rows).assign(**same)
    for field in METRICS:
        if field.name not in table:
            table[field.name] = "" if pa.types.is_string(field.type) else None
        elif pa.types.is_string(field.type):
            table[field.name] = table[field.name].fillna("")
        if pa.types.is_int64(field.type):
            table[field.name] = table[field.name].astype("Int64")
        elif pa.types.is_float64(field.type):
            table[field.name] = table[field.name].astype("float64")
    return table[METRICS.names]


def embeddings(size: int) -> pa.Schema:
    """teacher, student: one row per sequence; ``size`` is the size of an embedding.

    Metadata of the file: teacher, revision, layer, pooling, dtype, tokenizer, input, version.
    """
    return pa.schema(
        [
            column("id", pa.string(), "sequence"),
            column("embedding", pa.list_(pa.float16(), size), "the vector; its width is the model's hidden size"),
            column("tokens", pa.int32(), "tokens that were read", "tokens"),
            column("truncated", pa.bool_(), "whether a part of the sequence was not read"),
        ]
    )


def lineages_of(table) -> list[Lineage]:
    """Lineages from the seven rank columns of a data frame (labels, truth, predictions); nulls and NaN become None."""
    columns = [table[rank].astype(object).where(table[rank].notna(), None).tolist() for rank in RANKS]
    return list(zip(*columns, strict=True)) if len(table) else []


def rank_columns(lineages: list[Lineage]) -> dict[str, list[str | None]]:
    """The inverse of `lineages_of`: a dict of seven columns."""
    columns = list(zip(*lineages, strict=True)) if lineages else [()] * len(NO_LINEAGE)
    return {rank: list(column) for rank, column in zip(RANKS, columns, strict=True)}


def token_features(size: int) -> pa.Schema:
    """teacher: features of every token of a sequence, row-major [tokens, size], with the bases of each token."""
    return pa.schema(
        [
            column("id", pa.string(), "sequence"),
            column("start", pa.list_(pa.int32()), "offset of each token's first base, from 0", "bases"),
            column("stop", pa.list_(pa.int32()), "offset after each token's last base", "bases"),
            column("features", pa.list_(pa.float16()), "features of the tokens, row-major [tokens, size]"),
        ],
        metadata={"size": str(size)},
    )


# teacher: log-probabilities of A, C, G, T at every base, row-major [bases, 4]; natural logarithm.
BASE_LOG_PROBABILITIES = pa.schema(
    [
        column("id", pa.string(), "sequence"),
        column(
            "log_probabilities",
            pa.list_(pa.float16()),
            "log-probabilities of A, C, G, T at every base, row-major [bases, 4]",
            "natural logarithm",
        ),
    ]
)

# The six-track input of mRNABench: in addition to the four bases, two tracks of 0 and 1, one number per base.
_CDS = column("cds", pa.list_(pa.int8()), "track of 0 and 1, one per base: 1 at the first base of each codon")
_SPLICE = column("splice", pa.list_(pa.int8()), "track of 0 and 1, one per base: 1 at the last base of each exon")

# reference: transcripts, spliced and in the direction of transcription.
TRANSCRIPTS = pa.schema(
    [
        column("id", pa.string(), "transcript"),
        column("gene", pa.string(), "gene; empty if unknown"),
        column("symbol", pa.string(), "name of the gene beside its id; empty if unknown"),
        column("chromosome", pa.string(), "chromosome; empty if unknown"),
        column("sequence", pa.string(), "the spliced transcript, in the direction of transcription"),
        _CDS,
        _SPLICE,
        column("length", pa.int32(), "length of the sequence", "bases"),
    ]
)

# reference: one probe task, one row per transcript. Metadata of the file: task, kind, split, targets, left_out.
PROBE_TASK = pa.schema(
    [
        column("id", pa.string(), "row of the task's table"),
        column(
            "transcript",
            pa.string(),
            "id under which the transcript is embedded: one per distinct sequence with its tracks",
        ),
        column("gene", pa.string(), "gene; empty if unknown"),
        column("symbol", pa.string(), "name of the gene beside its id; empty if unknown"),
        column("chromosome", pa.string(), "chromosome; empty if unknown"),
        column("sequence", pa.string(), "the spliced transcript, in the direction of transcription"),
        _CDS,
        _SPLICE,
        column(
            "targets",
            pa.list_(pa.float64()),
            "one number (regression; classes 0 and 1) or several (multilabel)",
        ),
    ]
)

# reference: homology groups of transcripts (corpus and tasks together).
HOMOLOGY_GROUPS = pa.schema(
    [
        column("id", pa.string(), "transcript"),
        column("group", pa.int64(), "number of its cluster of relatives"),
    ]
)

# reference: transcripts of the distillation set and their relatives, each pair in both directions.
TRANSCRIPT_PAIRS = pa.schema(
    [
        column("id", pa.string(), "transcript"),
        column("relative", pa.string(), "another transcript of its gene, or its orthologue"),
        column("by", pa.string(), "gene, or orthologue"),
    ]
)

# student, baselines: predictions of a model for the test rows of a task table (sequence, label, split).
# Metadata of the file: classes (a JSON list), and how the model was fitted.
TASK_PREDICTIONS = pa.schema(
    [
        column("task", pa.string(), "benchmark/task"),
        column("model", pa.string(), "model that is scored"),
        column("kind", pa.string(), f"kind of the model in the comparison: {', '.join(KINDS)}"),
        column("variant", pa.string(), "how it was fitted, as fit=…; empty for a model that is fitted in one way only"),
        column("seed", pa.int64(), "seed of the fit; 0 for predictions that were given"),
        column("fold", pa.int32(), "validation fold, from 0; 0 with a single split"),
        column("row", pa.int64(), "row of the task's table, from 0"),
        column("label", pa.string(), "the right class"),
        column("predicted", pa.string(), "the most probable class"),
        column(
            "probabilities",
            pa.list_(pa.float32()),
            "probability of each class, in the order of the file's metadata classes; of a peer its scores, or null",
            "probability",
        ),
    ]
)

# evaluation: predictions of a linear probe for its test rows, one row per (seed, transcript).
PROBE_PREDICTIONS = pa.schema(
    [
        column("task", pa.string(), "name of the probe task"),
        column("task_kind", pa.string(), "regression, classification or multilabel"),
        column("model", pa.string(), "model whose embeddings are probed"),
        column("kind", pa.string(), f"kind of the model in the comparison: {', '.join(KINDS)}"),
        column("variant", pa.string(), "how the probe was fitted, as fit=…, with=…"),
        column("training", pa.int64(), "seed of the model's training; null for a model that was not trained here"),
        column("seed", pa.int64(), "seed of the split"),
        column("id", pa.string(), "transcript"),
        column("group", pa.int64(), "its homology group: the unit that intervals resample"),
        column("targets", pa.list_(pa.float64()), "what was measured, as in the task"),
        column(
            "predictions", pa.list_(pa.float64()), "prediction of the probe: a value, or the probability of class 1"
        ),
    ]
)

# evaluation: outcomes of the contigs of each genome, by model, run and rank; a benchmark of several communities
# resamples these rows.
OUTCOME_COUNTS = pa.schema(
    [
        column("dataset", pa.string(), "community"),
        column("model", pa.string(), "who is counted"),
        column("kind", pa.string(), f"kind of the model in the comparison: {', '.join(KINDS)}"),
        column("seed", pa.int64(), "seed of the run; 0 for a model that is not trained"),
        column("threshold", pa.string(), "the model's own, or the fixed score above which its calls are accepted"),
        column("rank", pa.string(), "rank"),
        column("genome", pa.string(), "genome that the contigs come from"),
        column("status", pa.string(), "status of the genome, as in the ground truth; empty if unknown"),
        column(
            "cluster",
            pa.string(),
            "unit that is resampled for intervals, within the status: the genome; its genus if that is absent; its "
            "family if that or a higher rank is absent",
        ),
        column("correct", pa.int64(), "contigs with a correct name at the rank", "contigs"),
        column("wrong", pa.int64(), "contigs with a wrong name at the rank", "contigs"),
        column("none", pa.int64(), "contigs without a name at the rank", "contigs"),
        column("absent", pa.int64(), "contigs whose taxon at the rank the reference lacks", "contigs"),
        column("absent_called", pa.int64(), "number of these contigs that are named at the rank", "contigs"),
    ]
)
