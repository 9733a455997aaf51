# What the rules of the recipe mrna read from the configuration.
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
MRNA_TEACHER = f"{RESULTS}/teacher/{MRNA['teacher']['name']}"
# Where the sequences lie that the teacher reads: beside transcripts.parquet, or in coding/.
MRNA_READ = {"transcript": "", "cds": "coding/"}[MRNA["teacher"]["reads"]]
MRNA_TEACHER_MODEL = MRNA["teacher"]["model"] or f"{MRNA_TEACHER}/model"
MRNA_STUDENTS = {
    name: {**MRNA["defaults"], **student} for name, student in MRNA["students"].items()
}
MRNA_RUNS = [f"{name}.seed{seed}" for name in MRNA_STUDENTS for seed in MRNA["seeds"]]
MRNA_PROBES = f"{RESULTS}/evaluation/probes"
MRNA_TABLE = f"{RESULTS}/evaluation/mrna"
MRNA_SHOWN = next(iter(MRNA_STUDENTS))
MRNA_RELEASE = f"{RESULTS}/release/{MRNA_SHOWN}"
TEACHER_TELLS = {
    "embeddings": ("cosine", "mse", "relational", "contrastive"),
    "tokens": ("token",),
    "base-log-probabilities": ("logits",),
}


def files_of(place):
    """Files behind a source or a table as the configuration names it."""
    path = place.split(":", 1)[0]
    return path.split(",") if ":" not in place else [path]


def teacher_shards(student):
    """What the objective of a student needs of the teacher: option of ``student match`` to file."""
    objective = MRNA_STUDENTS[student]["objective"]
    terms = {term.rpartition("*")[2].strip() for term in objective.split("+")}
    names = {"embeddings": "embeddings", "tokens": "token_features"}
    return {
        names.get(what, what.replace("-", "_")): f"{MRNA_TEACHER}/corpus/{what}.parquet"
        for what, told in TEACHER_TELLS.items()
        if terms & set(told)
    }


def probed_features(wildcards):
    """Embeddings that stand behind a name in the table; nothing for a k-mer baseline."""
    if wildcards.model in MRNA["baselines"]:
        return []
    if wildcards.model == MRNA["teacher"]["name"]:
        return f"{MRNA_TEACHER}/benchmark/embeddings.parquet"
    return f"{RESULTS}/student/{wildcards.model}/embeddings.parquet"
