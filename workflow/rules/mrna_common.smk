# Values from the configuration for the rules of the recipe mrna.
MRNA = config["mrna"]
TRANSCRIPTOME = f"{RESULTS}/reference/transcriptome"
MRNA_CORPUS = f"{RESULTS}/reference/corpus"
MRNA_BENCHMARK = f"{RESULTS}/reference/benchmark"
MRNA_SIMULATED = not MRNA["sources"]
MRNA_SOURCES = MRNA["sources"] or {
    "genome": f"{TRANSCRIPTOME}/genome.fna.gz,{TRANSCRIPTOME}/annotation.gtf"
}
SIMULATED_COLUMNS = (
    f"{TRANSCRIPTOME}/tasks.tsv:id=id,gene=gene,chromosome=chromosome,"
    "cds_start=cds_start,cds_end=cds_end,exon_sizes=exon_sizes"
)
MRNA_TASKS = MRNA["tasks"] or {
    "stability": {
        "table": SIMULATED_COLUMNS,
        "target": "stability",
        "kind": "regression",
    },
    "localisation": {
        "table": SIMULATED_COLUMNS,
        "target": ["membrane", "secreted"],
        "kind": "multilabel",
        "split": "chromosome",
    },
    "coding": {
        "classes": [
            f"{TRANSCRIPTOME}/noncoding.fna.gz",
            f"{TRANSCRIPTOME}/coding.fna.gz",
        ],
        "kind": "classification",
        "split": "default",
    },
}
MRNA_TASK_FILES = [f"{RESULTS}/reference/tasks/{task}.parquet" for task in MRNA_TASKS]
MRNA_GROUPS = f"{RESULTS}/reference/groups.parquet"
MRNA_PAIRS = f"{MRNA_CORPUS}/pairs.parquet"
MRNA_READS = config["teacher"]["reads"]
# The input of the teacher for a set of transcripts is beside transcripts.parquet, or in coding/.
MRNA_SETS = {
    Path(folder).name: (f"{part}/sequences.fna.gz", f"{part}/index.parquet")
    for folder in (MRNA_CORPUS, MRNA_BENCHMARK)
    for part in [f"{folder}/coding" if MRNA_READS == "cds" else folder]
}
MRNA_STUDENTS = mrna_students(MRNA)
# Folder of every training -> its student and seed.
MRNA_RUNS = {
    f"{name}.seed{seed}": (name, seed)
    for name in MRNA_STUDENTS
    for seed in MRNA["seeds"]
}
# Embeddings given by the user, by model.
MRNA_PEERS = config["evaluation"]["predictions"]
MRNA_PROBES = f"{RESULTS}/evaluation/probes"
MRNA_TABLE = f"{RESULTS}/evaluation/mrna"
MRNA_SHOWN = next(iter(MRNA_STUDENTS))
MRNA_RELEASE = f"{RESULTS}/release/{MRNA_SHOWN}"
# Representation of the teacher -> option of ``student distil-transcripts``.
MRNA_OPTIONS = {
    "sequence": "embeddings",
    "token": "token_features",
    "base-log-probabilities": "base_log_probabilities",
}


def files_of(place):
    """Files of a source or a table in the notation of the configuration."""
    path = place.split(":", 1)[0]
    return path.split(",") if ":" not in place else [path]


# The files of sources and tasks.
MRNA_FILES = {
    file
    for place in [
        *MRNA_SOURCES.values(),
        *(
            place
            for task in MRNA_TASKS.values()
            for place in [*task.get("classes", []), task.get("table") or ""]
        ),
    ]
    for file in files_of(place)
}


def matched_shards(student):
    """The teacher's shards for the objective of a student: option of ``student distil-transcripts`` -> files."""
    return {
        MRNA_OPTIONS[representation]: teacher_shards("corpus", representation)
        for representation in needed_representations(
            MRNA_STUDENTS[student]["objective"]
        )
    }


def transcripts_of_set(name):
    """The transcripts of a set with their coding sequences, if the teacher pools by region; else nothing."""
    if config["teacher"]["pooling"] != "regions" or name not in MRNA_SETS:
        return []
    return str(Path(MRNA_SETS[name][0]).parent / "transcripts.parquet")


def reads_tracks(student):
    """Whether the embedding of a student depends on the positions of codons and exons."""
    return student["tracks"] or student["lengths"] or student["pooling"] == "regions"


def mrna_kind(model):
    """The kind of a model in tables; a student without a teacher is a control."""
    if model == config["teacher"]["name"]:
        return "teacher"
    if model in MRNA["baselines"]:
        return "baseline"
    if model in MRNA_PEERS:
        return "peer"
    taught = MRNA_STUDENTS[model]["steps"] > 0 and matched_shards(model)
    return "student" if taught else "control"


def probed_features(wildcards):
    """Embeddings of a model in the table; nothing for a k-mer baseline."""
    if wildcards.model in MRNA["baselines"]:
        return []
    if wildcards.model == config["teacher"]["name"]:
        return teacher_shards("benchmark")
    if wildcards.model in MRNA_PEERS:
        return f"{RESULTS}/evaluation/imported/{wildcards.model}/embeddings.parquet"
    return f"{RESULTS}/student/{wildcards.model}/embeddings.parquet"
