# The teacher of every recipe: obtaining it (by name, from a folder, or by pretraining), checking it, and computing its
# outputs for sets of sequences. A recipe only defines its sets, and the data for pretraining and checking the teacher.
from genestill.teacher.settings import EmbeddingSettings

TEACHER_CONFIG = config["teacher"]

# A folder of the user, or one made by a rule: downloaded by name, or a small model pretrained here.
TEACHER_IS_FOLDER = is_folder(TEACHER_CONFIG["model"] or "")
TEACHER_MODEL = TEACHER_CONFIG["model"] if TEACHER_IS_FOLDER else f"{TEACHER}/model"
# The result of the check, which is required before outputs of the teacher are used.
TEACHER_PASSED = f"{TEACHER}/check.json"
# Embeddings of another program replace a model, which is then neither obtained, checked nor run.
STORED = TEACHER_CONFIG["embeddings"]
if STORED:
    # Imported here because it loads pandas and pyarrow, which other runs do not need at the start.
    from genestill.teacher.stored import find_stored

    TEACHER_MODEL, TEACHER_PASSED = [], []

# Set of sequences -> FASTA file and index.
TEACHER_SETS = {
    "contigs": (CONTIGS, f"{RESULTS}/reference/contigs.parquet"),
    **MRNA_SETS,
    **DNA_SETS,
}
SHARDS = teacher_shards("contigs")

# The data for pretraining and checking a teacher: the training set of the students, on the given strand (mrna) or on
# both; for contigs the reference genomes or, without these, the contigs.
if config["recipe"] == "mrna":
    TEACHER_LEARNS = {"genomes": MRNA_SETS["corpus"][0]}
elif config["recipe"] in ("had", "seqlens"):
    TEACHER_LEARNS = {"genomes": DNA_WINDOWS}
else:
    TEACHER_LEARNS = {"genomes": GENOMES or CONTIGS}
TEACHER_STRANDS = "one" if config["recipe"] == "mrna" else "both"
TEACHER_GENOMES_FOLDER = (
    GENOMES_FOLDER if GENOMES and TEACHER_LEARNS["genomes"] == GENOMES else None
)

# In the recipes had and seqlens, unset values are those of the students.
TEACHER_CONTEXT = TEACHER_CONFIG["pretraining"]["context"]
TEACHER_POOLING = TEACHER_CONFIG["pooling"]
if config["recipe"] in ("had", "seqlens"):
    TEACHER_CONTEXT = TEACHER_CONTEXT or DNA_TEACHER_CONTEXT
    TEACHER_POOLING = TEACHER_POOLING or DNA["pooling"]

if TEACHER_CONFIG["model"] is None and not STORED:

    rule pretrain_teacher:
        input:
            **TEACHER_LEARNS,
        output:
            directory(f"{TEACHER}/model"),
        log:
            f"{RESULTS}/logs/teacher/pretrain_teacher.log",
        benchmark:
            f"{RESULTS}/benchmarks/teacher/pretrain_teacher.tsv"
        conda:
            "../../envs/teacher.yaml"
        threads: TRAINING_THREADS
        resources:
            mem_mb=lambda wildcards, attempt: 8000 * attempt,
            runtime=lambda wildcards, attempt: 600 * attempt,
            gpu=1,
            gpu_model=GPU_MODEL,
        params:
            folder=options(genomes_folder=TEACHER_GENOMES_FOLDER),
            settings=options(
                **(TEACHER_CONFIG["pretraining"] | {"context": TEACHER_CONTEXT})
            ),
            strands=TEACHER_STRANDS,
            name=TEACHER_CONFIG["name"],
            seed=config["seed"],
            device=device_of_training,
        shell:
            "python -m genestill teacher pretrain --genomes {input.genomes:q} {params.folder} {params.settings}"
            " --strands {params.strands:q} --name {params.name:q} --seed {params.seed:q} --device {params.device}"
            " --output {output:q} 2> {log:q}"

elif not TEACHER_IS_FOLDER and not STORED:

    localrules:
        fetch_teacher,

    rule fetch_teacher:
        input:
            registry=ROOT / "resources" / "teachers.yaml",
        output:
            directory(f"{TEACHER}/model"),
        log:
            f"{RESULTS}/logs/teacher/fetch_teacher.log",
        benchmark:
            f"{RESULTS}/benchmarks/teacher/fetch_teacher.tsv"
        retries: 3
        conda:
            "../../envs/teacher.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=240,
        params:
            name=TEACHER_CONFIG["model"],
            revision=options(revision=TEACHER_CONFIG["revision"]),
        shell:
            "python -m genestill teacher fetch {params.name:q} --registry {input.registry:q} {params.revision}"
            " --output {output:q} 2> {log:q}"


TEACHER_ASKED = asked_of_teacher(config)


localrules:
    sequences_to_embed,


rule sequences_to_embed:
    input:
        [TEACHER_SETS[name][0] for name in TEACHER_ASKED],
    output:
        f"{TEACHER}/sequences_to_embed.tsv",
    log:
        f"{RESULTS}/logs/teacher/sequences_to_embed.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/sequences_to_embed.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        sets=" ".join(
            options(
                set=[
                    name,
                    TEACHER_SETS[name][0],
                    representation,
                    STORED.get(
                        name, f"embeddings/{TEACHER_CONFIG['name']}/{name}.parquet"
                    ),
                ]
            )
            for name, representations in TEACHER_ASKED.items()
            for representation in representations
        ),
    shell:
        "python -m genestill teacher list-sequences {params.sets} --output {output:q} 2> >(tee {log:q} >&2)"


if STORED:

    rule import_shard:
        input:
            embeddings=stored_embeddings,
            index=lambda wildcards: TEACHER_SETS[wildcards.set][1],
        output:
            f"{TEACHER}/{{set}}/{{representation}}/{{shard}}.parquet",
        log:
            f"{RESULTS}/logs/teacher/import_shard_{{set}}_{{representation}}_{{shard}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/teacher/import_shard_{{set}}_{{representation}}_{{shard}}.tsv"
        wildcard_constraints:
            set="|".join(map(re.escape, STORED)),
            representation="sequence|token",
            shard=r"\d+",
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 120 * attempt,
        params:
            shards=TEACHER_CONFIG["shards"],
        shell:
            "python -m genestill teacher import --embeddings {input.embeddings:q} --index {input.index:q}"
            " --representation {wildcards.representation:q} --shard {wildcards.shard:q} --shards {params.shards:q}"
            " --output {output:q} 2> {log:q}"


rule check_teacher:
    input:
        **TEACHER_LEARNS,
        model=TEACHER_MODEL,
    output:
        f"{TEACHER}/check.json",
    log:
        f"{RESULTS}/logs/teacher/check_teacher.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/check_teacher.tsv"
    conda:
        "../../envs/teacher.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "teacher check", attempt, held=input.model
        ),
        runtime=60,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        folder=options(genomes_folder=TEACHER_GENOMES_FOLDER),
        dtype=TEACHER_CONFIG["dtype"],
        settings=check_settings,
        strands=TEACHER_STRANDS,
        seed=config["seed"],
        device=device,
    shell:
        "python -m genestill teacher check --model {input.model:q} --genomes {input.genomes:q} {params.folder}"
        " --strands {params.strands:q} --dtype {params.dtype:q} {params.settings} --seed {params.seed:q}"
        " --device {params.device} --output {output:q} 2> {log:q}"


rule embed_shard:
    input:
        model=TEACHER_MODEL,
        passed=TEACHER_PASSED,
        sequences=lambda wildcards: TEACHER_SETS[wildcards.set][0],
        index=lambda wildcards: TEACHER_SETS[wildcards.set][1],
        transcripts=lambda wildcards: transcripts_of_set(wildcards.set),
    output:
        f"{TEACHER}/{{set}}/{{representation}}/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/teacher/embed_shard_{{set}}_{{representation}}_{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/embed_shard_{{set}}_{{representation}}_{{shard}}.tsv"
    wildcard_constraints:
        set="(?!)" if STORED else "|".join(map(re.escape, TEACHER_SETS)),
        representation="sequence|token|base-log-probabilities",
        shard=r"\d+",
    conda:
        "../../envs/teacher.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "teacher embed", attempt, input.index, held=input.model
        ),
        runtime=lambda wildcards, attempt: 600 * attempt,
        gpu=TEACHER_CONFIG["processes"],
        gpu_model=GPU_MODEL,
    params:
        representation=lambda wildcards: wildcards.representation,
        shard=lambda wildcards: wildcards.shard,
        shards=TEACHER_CONFIG["shards"],
        settings=options(
            **(
                select_settings(TEACHER_CONFIG, EmbeddingSettings, ["batch_tokens"])
                | {"pooling": TEACHER_POOLING}
            ),
        ),
        transcripts=lambda wildcards, input: options(
            transcripts=input.get("transcripts")
        ),
        work=embedding_work,
        device=device,
    shell:
        "python -m genestill teacher embed --representation {params.representation:q} --model {input.model:q}"
        " --contigs {input.sequences:q} --index {input.index:q} --shard {params.shard:q} --shards {params.shards:q}"
        " {params.settings} {params.transcripts} {params.work} --device {params.device} --output {output:q} 2> {log:q}"


# The control of a teacher: the same architecture with random weights, with outputs of the same kind.
rule randomise_teacher:
    input:
        TEACHER_MODEL,
    output:
        directory(f"{RANDOM_TEACHER}/model"),
    log:
        f"{RESULTS}/logs/teacher/randomise_teacher.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/randomise_teacher.tsv"
    conda:
        "../../envs/teacher.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "teacher randomise", attempt, held=input
        ),
        runtime=60,
    params:
        seed=config["seed"],
    shell:
        "python -m genestill teacher randomise --model {input:q} --seed {params.seed:q} --output {output:q} 2> {log:q}"


use rule embed_shard as embed_random_shard with:
    input:
        model=f"{RANDOM_TEACHER}/model",
        sequences=lambda wildcards: TEACHER_SETS[wildcards.set][0],
        index=lambda wildcards: TEACHER_SETS[wildcards.set][1],
        transcripts=lambda wildcards: transcripts_of_set(wildcards.set),
    output:
        f"{RANDOM_TEACHER}/{{set}}/{{representation}}/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/teacher/embed_random_shard_{{set}}_{{representation}}_{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/embed_random_shard_{{set}}_{{representation}}_{{shard}}.tsv"


# The outputs of the teacher as in TaxDistill, for the benchmark: the last token of the first 512, last layer.
use rule embed_shard as embed_published with:
    input:
        model=TEACHER_MODEL,
        passed=TEACHER_PASSED,
        sequences=TEACHER_SETS["contigs"][0],
        index=TEACHER_SETS["contigs"][1],
    output:
        f"{TEACHER}/published.parquet",
    log:
        f"{RESULTS}/logs/teacher/embed_published.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/embed_published.tsv"
    params:
        representation="sequence",
        shard=0,
        shards=1,
        settings=options(
            layer=-1, pooling="last", window="first", dtype=TEACHER_CONFIG["dtype"]
        ),
        transcripts="",
        work=embedding_work,
        device=device,


rule make_soft_labels:
    input:
        embeddings=SHARDS,
        labels=f"{RESULTS}/labels/labels.parquet",
        tree=f"{RESULTS}/labels/label_tree.tsv",
    output:
        soft_labels=f"{TEACHER}/soft_labels.parquet",
    log:
        f"{RESULTS}/logs/teacher/make_soft_labels.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/make_soft_labels.tsv"
    conda:
        "../../envs/teacher.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "teacher soft-labels", attempt, input.labels, input.tree
        ),
        runtime=lambda wildcards, attempt: 120 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        folds=TEACHER_CONFIG["folds"],
        seed=config["seed"],
        device=device,
        predictions="",
    shell:
        "python -m genestill teacher soft-labels --embeddings {input.embeddings:q} --labels {input.labels:q}"
        " --tree {input.tree:q} --folds {params.folds:q} --seed {params.seed:q} --device {params.device}"
        " {params.predictions} --output {output.soft_labels:q} 2> {log:q}"


# The improvement of a cheap baseline by the teacher, on training rows of the tasks of the recipe.
TEACHER_ADMISSION = (
    [f"{TEACHER}/admission.json"]
    if TEACHER_ASKED and TEACHER_CONFIG["admission"] != "off"
    else []
)
# Required before students are trained.
TEACHER_ADMITTED = TEACHER_ADMISSION if TEACHER_CONFIG["admission"] == "stop" else []
if config["recipe"] == "mrna":
    ADMISSION_SECTION = MRNA_SECTIONS["Answer"]
    ADMISSION_KMERS = [
        [baseline["shortest"], baseline["longest"]]
        for baseline in MRNA["baselines"].values()
        if baseline["features"] == "kmers"
    ] or [[1, 4]]
    ADMISSION_READS = {
        "tasks": MRNA_TASK_FILES,
        "groups": MRNA_GROUPS,
        "embeddings": teacher_shards("benchmark"),
    }
elif config["recipe"] in ("had", "seqlens"):
    ADMISSION_SECTION = DNA_SECTIONS["Answer"]
    ADMISSION_KMERS = [[1, 5]]
    ADMISSION_READS = {
        "tables": [DNA_TASKS[task] for task in DNA_ADMISSION_TASKS],
        "embeddings": [
            shard
            for task in DNA_ADMISSION_TASKS
            for shard in teacher_shards(f"tasks/{task}")
        ],
    }
else:
    ADMISSION_SECTION = TAXONOMY_SECTIONS["Answer"]
    ADMISSION_KMERS = [[1, 4]]
    ADMISSION_READS = {
        "labels": f"{RESULTS}/labels/labels.parquet",
        "contigs": CONTIGS,
        "embeddings": SHARDS,
    }


rule admit_teacher:
    input:
        **ADMISSION_READS,
    output:
        verdict=f"{TEACHER}/admission.json",
        table=report(
            f"{TEACHER}/admission.tsv",
            caption="../report/admission.rst",
            category=ADMISSION_SECTION,
            labels={"shows": "Teacher beside the baseline (table)"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/admit_teacher.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/admit_teacher.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        asked=(
            options(**ADMISSION_READS)
            if "tables" not in ADMISSION_READS
            else " ".join(
                options(
                    sequence_task=[
                        task,
                        DNA_TASKS[task],
                        *teacher_shards(f"tasks/{task}"),
                    ]
                )
                for task in DNA_ADMISSION_TASKS
            )
        ),
        kmers=" ".join(options(kmers=pair) for pair in ADMISSION_KMERS),
        splits=(
            options(split_seeds=MRNA["split_seeds"])
            if config["recipe"] == "mrna"
            else ""
        ),
        admission=TEACHER_CONFIG["admission"],
        seed=config["seed"],
    shell:
        "python -m genestill evaluation admission {params.asked} {params.kmers} {params.splits}"
        " --admission {params.admission:q} --seed {params.seed:q} --output-table {output.table:q}"
        " --output {output.verdict:q} 2> {log:q}"
