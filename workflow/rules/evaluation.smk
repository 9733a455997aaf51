STUDENT_NAME = config["student"]["name"]
LABELS_NAME = config["evaluation"]["labels_name"]
EVALUATION = f"{RESULTS}/evaluation"

# Section and name in the report of each figure; without a truth the last five do not exist.
TAXONOMY_FIGURES = {
    "label_changes": ("Label changes", "Labels before and after"),
    "coverage": ("Label changes", "Share of contigs named at each rank"),
    "composition": ("Composition", "Families in each sample"),
} | (
    {
        "f1_by_rank": ("Accuracy", "F1 by rank"),
        "precision_recall": ("Accuracy", "Precision and recall at species"),
        "reliability": ("Confidence", "Confidence and share of right names"),
        "by_status": ("Novelty", "Names at species by novelty of the genome"),
        "by_length": ("Accuracy", "F1 by contig length"),
    }
    if TRUTH
    else {}
)


rule evaluate_taxonomy:
    input:
        truth=f"{RESULTS}/reference/truth.parquet" if TRUTH else [],
        labels=f"{RESULTS}/labels/labels.parquet",
        predictions=f"{RESULTS}/student/{STUDENT_NAME}/predictions.parquet",
    output:
        f"{EVALUATION}/metrics.parquet",
    log:
        f"{RESULTS}/logs/evaluation/evaluate_taxonomy.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/evaluate_taxonomy.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        truth=lambda wildcards, input: options(truth=input.truth),
        options=options(
            labels_name=LABELS_NAME,
            dataset=config["dataset"]["name"],
            seed=config["seed"],
            resamples=config["evaluation"]["resamples"],
        ),
        name=STUDENT_NAME,
    shell:
        "python -m genestill evaluation taxonomy --labels {input.labels:q}"
        " --student {params.name:q}={input.predictions:q} {params.truth} {params.options} --output {output:q} 2> {log:q}"


rule print_table:
    input:
        f"{EVALUATION}/metrics.parquet",
    output:
        table=f"{EVALUATION}/table.txt",
        page=report(
            f"{EVALUATION}/table.html",
            caption="../report/table.rst",
            category=TAXONOMY_SECTIONS["Answer"],
            labels={"shows": "Labels and model, rank by rank"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/print_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/print_table.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python -m genestill evaluation table --metrics {input:q} --output {output.table:q} 2> {log:q}"


rule draw_figures:
    input:
        metrics=f"{EVALUATION}/metrics.parquet",
        truth=f"{RESULTS}/reference/truth.parquet" if TRUTH else [],
        labels=f"{RESULTS}/labels/labels.parquet",
        predictions=f"{RESULTS}/student/{STUDENT_NAME}/predictions.parquet",
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
    output:
        *(
            report(
                f"{EVALUATION}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category=TAXONOMY_SECTIONS[section],
                labels={"shows": name},
            )
            for figure, (section, name) in TAXONOMY_FIGURES.items()
        ),
        *(
            report(
                f"{EVALUATION}/figures/{figure}.tsv",
                caption=f"../report/{figure}.rst",
                category=TAXONOMY_SECTIONS[section],
                labels={"shows": f"{name} (table)"},
            )
            for figure, (section, name) in TAXONOMY_FIGURES.items()
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_figures.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        truth=lambda wildcards, input: options(truth=input.truth),
        options=options(labels_name=LABELS_NAME),
        name=STUDENT_NAME,
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill evaluation figures --metrics {input.metrics:q} --labels {input.labels:q}"
        " --student {params.name:q}={input.predictions:q} {params.truth} {params.options} --index {input.index:q}"
        " --abundance {input.abundance:q} --output {params.folder:q} 2> {log:q}"


# How the run went: the published recipe keeps neither a record of its training nor a hidden layer.
RUN_FIGURES = {"cost": ("How the run went", "Time and memory of every step")} | (
    {
        "training": ("How the run went", "Loss by epoch"),
        "maps": ("Representations", "Contigs in two dimensions"),
    }
    if STUDENT["objective"] == "posterior"
    else {}
)


rule draw_run:
    input:
        scored=f"{EVALUATION}/table.txt",
        exported=f"{RESULTS}/student/{STUDENT_NAME}/export",
        predictions=f"{RESULTS}/student/{STUDENT_NAME}/predictions.parquet",
        truth=f"{RESULTS}/reference/truth.parquet" if TRUTH else [],
        model=(
            f"{RESULTS}/student/{STUDENT_NAME}/model"
            if "training" in RUN_FIGURES
            else []
        ),
        student=(
            f"{RESULTS}/student/{STUDENT_NAME}/embeddings.parquet"
            if "maps" in RUN_FIGURES
            else []
        ),
        teacher=(
            SHARDS
            if "maps" in RUN_FIGURES and STUDENT["teacher"] == "embeddings"
            else []
        ),
    output:
        *(
            report(
                f"{EVALUATION}/run/{figure}.{form}",
                caption=f"../report/{figure}.rst",
                category=TAXONOMY_SECTIONS[section],
                labels={"shows": f"{name}{kind}"},
            )
            for figure, (section, name) in RUN_FIGURES.items()
            for form, kind in (("svg", ""), ("tsv", " (table)"))
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_run.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_run.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=30,
    params:
        files=lambda wildcards, input: options(
            truth=input.truth,
            training=f"{input.model}/training.tsv" if input.model else None,
        ),
        seed=config["seed"],
        representations=lambda wildcards, input: options(
            representations=[f"teacher={shard}" for shard in input.teacher]
            + [f"student={input.student}"] * bool(input.student)
        ),
        costs=f"{RESULTS}/benchmarks",
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill evaluation run-figures --costs {params.costs:q}/*/*.tsv {params.representations}"
        " --predictions {input.predictions:q} {params.files} --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


rule write_amber_input:
    input:
        truth=f"{RESULTS}/reference/truth.parquet" if TRUTH else [],
        labels=f"{RESULTS}/labels/labels.parquet",
        predictions=f"{RESULTS}/student/{STUDENT_NAME}/predictions.parquet",
    output:
        directory(f"{EVALUATION}/amber/input"),
    log:
        f"{RESULTS}/logs/evaluation/write_amber_input.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/write_amber_input.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        truth=lambda wildcards, input: options(truth=input.truth),
        options=options(labels_name=LABELS_NAME),
        predictions=options(
            student=f"{STUDENT_NAME}={RESULTS}/student/{STUDENT_NAME}/predictions.parquet"
        ),
    shell:
        "python -m genestill evaluation amber-input --labels {input.labels:q} {params.predictions} {params.truth} {params.options}"
        " --output {output:q} 2> {log:q}"


rule run_amber:
    input:
        tables=f"{EVALUATION}/amber/input",
        environment=peer_environment("amber"),
    output:
        directory(f"{EVALUATION}/amber/output"),
    log:
        f"{RESULTS}/logs/evaluation/run_amber.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_amber.tsv"
    conda:
        "../../envs/amber.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
    params:
        program=peer_program("amber", "amber.py"),
        names=f"{LABELS_NAME},{STUDENT_NAME}",
        binnings=[
            f"{EVALUATION}/amber/input/{name}.binning"
            for name in (LABELS_NAME, STUDENT_NAME)
        ],
    # AMBER leaves a cache in its taxonomy folder, so it gets a copy.
    shell:
        "mkdir -p {output:q} && cp -r {input.tables:q}/taxdump {output:q}/taxdump &&"
        " {params.program:q} -g {input.tables:q}/gold.binning -l {params.names:q} --ncbi_dir {output:q}/taxdump"
        " -o {output:q} {params.binnings:q} > {log:q} 2>&1"


rule compare_with_amber:
    input:
        results=f"{EVALUATION}/amber/output",
        metrics=f"{EVALUATION}/metrics.parquet",
    output:
        report(
            f"{EVALUATION}/amber.tsv",
            caption="../report/amber.rst",
            category=TAXONOMY_SECTIONS.get("Accuracy"),
            labels={"shows": "Agreement with AMBER (table)"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/compare_with_amber.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/compare_with_amber.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        models=[LABELS_NAME, STUDENT_NAME],
        seed="",
    shell:
        "python -m genestill evaluation amber --results {input.results:q}/results.tsv --metrics {input.metrics:q}"
        " --models {params.models:q} {params.seed} --output {output:q} 2> {log:q}"


rule taxdistill:
    input:
        rules.evaluate_taxonomy.output,
        rules.print_table.output,
        rules.draw_figures.output,
        rules.draw_run.output,
        f"{RESULTS}/student/{STUDENT_NAME}/export",
        rules.compare_with_amber.output
        if TRUTH and config["evaluation"]["amber"]
        else [],
