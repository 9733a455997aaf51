TEACHER_CONFIG = config["teacher"]

# A folder that the user has, or one that a rule makes: downloaded by name, or pretrained in miniature.
TEACHER_IS_FOLDER = is_folder(TEACHER_CONFIG["model"] or "")
TEACHER_MODEL = TEACHER_CONFIG["model"] if TEACHER_IS_FOLDER else f"{TEACHER}/model"

# What a teacher can be pretrained and checked on: the reference genomes, or without them the contigs themselves.
TEACHER_GENOMES = GENOMES or CONTIGS
TEACHER_GENOMES_FOLDER = GENOMES_FOLDER if GENOMES else None

if TEACHER_CONFIG["model"] is None:

    rule pretrain_teacher:
        input:
            genomes=TEACHER_GENOMES,
            checked=f"{RESULTS}/reference/contigs.parquet",
        output:
            directory(f"{TEACHER}/model"),
        log:
            f"{RESULTS}/logs/teacher/pretrain_teacher.log",
        benchmark:
            f"{RESULTS}/benchmarks/teacher/pretrain_teacher.tsv"
        conda:
            "../../envs/teacher.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 240 * attempt,
            gpu=1,
            gpu_model=GPU_MODEL,
        params:
            folder=options(genomes_folder=TEACHER_GENOMES_FOLDER),
            settings=options(**TEACHER_CONFIG["pretraining"]),
            name=TEACHER_CONFIG["name"],
            seed=config["seed"],
            device=lambda wildcards, resources: "auto" if resources.gpu else "cpu",
        shell:
            "python -m genestill teacher pretrain --genomes {input.genomes:q} {params.folder} {params.settings}"
            " --name {params.name:q} --seed {params.seed:q} --device {params.device} --output {output:q} 2> {log:q}"

elif not TEACHER_IS_FOLDER:

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
            mem_mb=2000,
            runtime=240,
        params:
            name=TEACHER_CONFIG["model"],
            revision=options(revision=TEACHER_CONFIG["revision"]),
        shell:
            "python -m genestill teacher fetch {params.name:q} --registry {input.registry:q} {params.revision}"
            " --output {output:q} 2> {log:q}"


rule check_teacher:
    input:
        model=TEACHER_MODEL,
        genomes=TEACHER_GENOMES,
        checked=f"{RESULTS}/reference/contigs.parquet",
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
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=60,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        folder=options(genomes_folder=TEACHER_GENOMES_FOLDER),
        settings=options(dtype=TEACHER_CONFIG["dtype"], **TEACHER_CONFIG["check"]),
        seed=config["seed"],
        device=lambda wildcards, resources: "auto" if resources.gpu else "cpu",
    shell:
        "python -m genestill teacher check --model {input.model:q} --genomes {input.genomes:q} {params.folder}"
        " {params.settings} --seed {params.seed:q} --device {params.device} --output {output:q} 2> {log:q}"


rule embed_shard:
    input:
        model=TEACHER_MODEL,
        passed=f"{TEACHER}/check.json",
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
    output:
        f"{TEACHER}/shards/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/teacher/embed_shard_{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/embed_shard_{{shard}}.tsv"
    wildcard_constraints:
        shard=r"\d+",
    conda:
        "../../envs/teacher.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
        gpu=TEACHER_CONFIG["processes"],
        gpu_model=GPU_MODEL,
    params:
        shard=lambda wildcards: wildcards.shard,
        shards=TEACHER_CONFIG["shards"],
        settings=options(
            **{
                name: TEACHER_CONFIG[name]
                for name in (
                    "layer",
                    "pooling",
                    "window",
                    "strands",
                    "dtype",
                    "batch_tokens",
                    "processes",
                )
            }
        ),
        device=lambda wildcards, resources: "auto" if resources.gpu else "cpu",
    shell:
        "python -m genestill teacher embed --model {input.model:q} --contigs {input.contigs:q} --index {input.index:q}"
        " --shard {params.shard:q} --shards {params.shards:q} {params.settings} --device {params.device}"
        " --output {output:q} 2> {log:q}"


# The teacher as TaxDistill looks at it, for the benchmark: the last token of the first 512, last layer.
use rule embed_shard as embed_published with:
    output:
        f"{TEACHER}/published.parquet",
    log:
        f"{RESULTS}/logs/teacher/embed_published.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/embed_published.tsv"
    params:
        shard=0,
        shards=1,
        settings=options(
            layer=-1, pooling="last", window="first", dtype=TEACHER_CONFIG["dtype"]
        ),
        device=lambda wildcards, resources: "auto" if resources.gpu else "cpu",


rule soften_teacher:
    input:
        embeddings=SHARDS,
        labels=f"{RESULTS}/labels/labels.parquet",
        tree=f"{RESULTS}/labels/label_tree.tsv",
    output:
        soft_labels=f"{TEACHER}/soft_labels.parquet",
    log:
        f"{RESULTS}/logs/teacher/soften_teacher.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/soften_teacher.tsv"
    conda:
        "../../envs/teacher.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        folds=TEACHER_CONFIG["folds"],
        seed=config["seed"],
        device=lambda wildcards, resources: "auto" if resources.gpu else "cpu",
        predictions="",
    shell:
        "python -m genestill teacher soften --embeddings {input.embeddings:q} --labels {input.labels:q}"
        " --tree {input.tree:q} --folds {params.folds:q} --seed {params.seed:q} --device {params.device}"
        " {params.predictions} --output {output.soft_labels:q} 2> {log:q}"
