# The recipes had and seqlens after their students: tasks, probes, fine-tuning, baselines, table.
from genestill.reference.settings import OriginTaskSettings


localrules:
    fetch_sequence_task,


rule make_clade_task:
    input:
        genomes=COMMUNITY_GENOMES,
    output:
        f"{RESULTS}/reference/{{rank}}.tsv.gz",
    log:
        f"{RESULTS}/logs/reference/make_clade_task_{{rank}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/make_clade_task_{{rank}}.tsv"
    wildcard_constraints:
        rank="phylum|class|order|family|genus",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        folder=options(genomes_folder=REFERENCE["genomes_folder"]),
        length=DNA["windows"]["length"],
        seed=config["seed"],
    shell:
        "python -m genestill reference clade-task --genomes {input.genomes:q} {params.folder}"
        " --rank {wildcards.rank:q} --length {params.length:q} --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule make_origin_task:
    input:
        genomes=lambda wildcards: dna_genomes(
            DNA_ORIGIN_TASKS[f"origin/{wildcards.task}"]["genomes"]
        ),
    output:
        f"{RESULTS}/reference/origin/{{task}}.tsv.gz",
    log:
        f"{RESULTS}/logs/reference/make_origin_task_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/make_origin_task_{{task}}.tsv"
    wildcard_constraints:
        task="[a-z0-9-]+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        folder=options(genomes_folder=REFERENCE["genomes_folder"]),
        settings=lambda wildcards: options(
            **select_settings(
                DNA_ORIGIN_TASKS[f"origin/{wildcards.task}"], OriginTaskSettings
            )
        ),
        seed=config["seed"],
    shell:
        "python -m genestill reference origin-task --genomes {input.genomes:q} {params.folder} {params.settings}"
        " --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule fetch_sequence_task:
    input:
        sources=ROOT / "resources" / "sequence_task_sources.tsv",
        files=ROOT / "resources" / "sequence_task_files.tsv",
        rows=ROOT / "resources" / "sequence_task_rows.tsv.gz",
    output:
        "resources/downloads/sequence_tasks/{benchmark_name}/{task}.tsv.gz",
    log:
        "logs/downloads/sequence_tasks/{benchmark_name}/{task}.log",
    wildcard_constraints:
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
    retries: 2
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=720,
    params:
        downloads=lambda wildcards, output: Path(output[0]).parents[1] / "files",
    shell:
        "python -m genestill reference published-task --task {wildcards.benchmark_name:q}/{wildcards.task:q}"
        " --sources {input.sources:q} --files {input.files:q} --rows {input.rows:q} --downloads {params.downloads:q} --output {output:q} 2> {log:q}"


rule draw_sequence_task:
    input:
        lambda wildcards: DNA_WHOLE_TASKS[
            f"{wildcards.benchmark_name}/{wildcards.task}"
        ],
    output:
        f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}.tsv.gz",
    log:
        f"{RESULTS}/logs/reference/draw_sequence_task_{{benchmark_name}}_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/draw_sequence_task_{{benchmark_name}}_{{task}}.tsv"
    wildcard_constraints:
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        most=options(**DNA_MOST_ROWS),
        seed=config["seed"],
    shell:
        "python -m genestill evaluation draw-sequence-rows --task {input:q} {params.most} --seed {params.seed:q}"
        " --output {output:q} 2> {log:q}"


rule embed_sequence_task:
    input:
        model=f"{RESULTS}/student/{{student}}/model",
        sequences=f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}.fna.gz",
    output:
        f"{RESULTS}/student/{{student}}/embeddings/{{benchmark_name}}/{{task}}.parquet",
    log:
        f"{RESULTS}/logs/student/embed_{{student}}_{{benchmark_name}}_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/embed_{{student}}_{{benchmark_name}}_{{task}}.tsv"
    wildcard_constraints:
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=120,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        pooling=lambda wildcards: dna_pooling(DNA_TRAININGS[wildcards.student][0]),
        device=device,
    shell:
        "OMP_NUM_THREADS=1 python -m genestill student embed {input.sequences:q} --model {input.model:q}"
        " --pooling {params.pooling:q} --device {params.device} --threads {threads} --output {output:q} 2> {log:q}"


rule write_sequence_task_rows:
    input:
        lambda wildcards: DNA_TASKS[f"{wildcards.benchmark_name}/{wildcards.task}"],
    output:
        sequences=f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}.fna.gz",
        test_rows=f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}.test_rows.tsv",
    log:
        f"{RESULTS}/logs/reference/write_sequence_task_rows_{{benchmark_name}}_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/write_sequence_task_rows_{{benchmark_name}}_{{task}}.tsv"
    wildcard_constraints:
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
    priority: 1  # an invalid table should be found before hours of training
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    shell:
        "python -m genestill evaluation sequence-rows --task {input:q} --output {output.sequences:q}"
        " --output-test-rows {output.test_rows:q} 2> {log:q}"


rule index_sequence_task_rows:
    input:
        f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}.fna.gz",
    output:
        index=f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}.parquet",
        abundance=temp(
            f"{RESULTS}/reference/tasks/{{benchmark_name}}/{{task}}_abundance.parquet"
        ),
    log:
        f"{RESULTS}/logs/reference/index_sequence_task_rows_{{benchmark_name}}_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/index_sequence_task_rows_{{benchmark_name}}_{{task}}.tsv"
    wildcard_constraints:
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    shell:
        "python -m genestill reference contigs --contigs {input:q} --minimum-length 1 --output-index {output.index:q}"
        " --output-abundance {output.abundance:q} 2> {log:q}"


rule probe_sequence_task:
    input:
        embeddings=lambda wildcards: dna_features(
            wildcards.encoder,
            f"{wildcards.benchmark_name}/{wildcards.task}",
            wildcards.model_seed,
        ),
        task=lambda wildcards: DNA_TASKS[f"{wildcards.benchmark_name}/{wildcards.task}"],
    output:
        f"{DNA_SCORES}/predictions/{{benchmark_name}}/{{task}}/{{encoder}}-probe.{{rows}}.{{model_seed}}.parquet",
    log:
        f"{RESULTS}/logs/evaluation/probe_{{benchmark_name}}_{{task}}_{{encoder}}_{{rows}}_{{model_seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/probe_{{benchmark_name}}_{{task}}_{{encoder}}_{{rows}}_{{model_seed}}.tsv"
    wildcard_constraints:
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
        model_seed=r"\d+",
        rows=r"all|\d+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "evaluation sequence-fit", attempt, held=input.embeddings
        ),
        runtime=120,
    params:
        kind=lambda wildcards: dna_kind(wildcards.encoder),
        metric=dna_metric,
        rows=dna_rows,
        training=lambda wildcards: dna_training_number(wildcards.encoder, wildcards),
    shell:
        "python -m genestill evaluation sequence-fit --kind probe --embeddings {input.embeddings:q}"
        " --task {input.task:q} --task-name {wildcards.benchmark_name:q}/{wildcards.task:q}"
        " --name {wildcards.encoder:q} --model-kind {params.kind:q} {params.metric} {params.rows} {params.training}"
        " --seed {wildcards.model_seed:q} --output {output:q} 2> {log:q}"


rule finetune_on_sequence_task:
    input:
        model=dna_model,
        task=lambda wildcards: DNA_TASKS[f"{wildcards.benchmark_name}/{wildcards.task}"],
    output:
        f"{DNA_SCORES}/predictions/{{benchmark_name}}/{{task}}/{{student}}-{{method}}.{{rows}}.{{model_seed}}.parquet",
    log:
        f"{RESULTS}/logs/student/finetune_{{benchmark_name}}_{{task}}_{{student}}_{{method}}_{{rows}}_{{model_seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/finetune_{{benchmark_name}}_{{task}}_{{student}}_{{method}}_{{rows}}_{{model_seed}}.tsv"
    wildcard_constraints:
        method="full|lora|lora-attention|frozen",
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
        model_seed=r"\d+",
        rows=r"all|\d+",
    conda:
        "../../envs/genestill.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        kind=lambda wildcards: dna_kind(wildcards.student),
        pooling=lambda wildcards: dna_pooling(wildcards.student),
        settings=dna_fine_tuning,
        metric=dna_metric,
        rows=dna_rows,
        training=lambda wildcards: dna_training_number(wildcards.student, wildcards),
        device=device,
    shell:
        "python -m genestill student finetune --model {input.model[0]:q} --name {wildcards.student:q}"
        " --model-kind {params.kind:q} --task {input.task:q}"
        " --task-name {wildcards.benchmark_name:q}/{wildcards.task:q} --method {wildcards.method:q}"
        " --pooling {params.pooling:q} {params.settings} {params.metric} {params.rows} {params.training}"
        " --seed {wildcards.model_seed:q} --device {params.device} --output {output:q} 2> {log:q}"


rule fit_sequence_baseline:
    input:
        task=lambda wildcards: DNA_TASKS[f"{wildcards.benchmark_name}/{wildcards.task}"],
    output:
        f"{DNA_SCORES}/predictions/{{benchmark_name}}/{{task}}/{{baseline}}.{{rows}}.{{model_seed}}.parquet",
    log:
        f"{RESULTS}/logs/evaluation/fit_{{benchmark_name}}_{{task}}_{{baseline}}_{{rows}}_{{model_seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/fit_{{benchmark_name}}_{{task}}_{{baseline}}_{{rows}}_{{model_seed}}.tsv"
    wildcard_constraints:
        baseline="|".join(SEQUENCE_BASELINES),
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
        model_seed=r"\d+",
        rows=r"all|\d+",
    priority: 1  # an invalid table should be found before hours of training
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        metric=dna_metric,
        rows=dna_rows,
    shell:
        "python -m genestill evaluation sequence-fit --kind {wildcards.baseline:q} --task {input.task:q}"
        " --task-name {wildcards.benchmark_name:q}/{wildcards.task:q} --name {wildcards.baseline:q}"
        " {params.metric} {params.rows} --seed {wildcards.model_seed:q} --output {output:q} 2> {log:q}"


rule import_sequence_predictions:
    input:
        predictions=lambda wildcards: DNA_PEERS[wildcards.peer][
            f"{wildcards.benchmark_name}/{wildcards.task}"
        ],
        task=lambda wildcards: DNA_TASKS[f"{wildcards.benchmark_name}/{wildcards.task}"],
    output:
        f"{RESULTS}/evaluation/imported/{{peer}}/{{benchmark_name}}/{{task}}.parquet",
    log:
        f"{RESULTS}/logs/evaluation/import_{{peer}}_{{benchmark_name}}_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/import_{{peer}}_{{benchmark_name}}_{{task}}.tsv"
    wildcard_constraints:
        peer="[^/]+",
        benchmark_name="[A-Za-z0-9_-]+",
        task="[A-Za-z0-9_-]+",
    priority: 1  # an invalid table should be found before hours of training
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    shell:
        "python -m genestill evaluation import-sequence-predictions --predictions {input.predictions:q}"
        " --task {input.task:q} --task-name {wildcards.benchmark_name:q}/{wildcards.task:q} --name {wildcards.peer:q}"
        " --output {output:q} 2> {log:q}"


rule score_sequence_tasks:
    input:
        predictions=[
            *published_or_made(DNA_PREDICTIONS),
            *expand(
                f"{RESULTS}/evaluation/imported/{{peer}}/{{task}}.parquet",
                peer=DNA_PEERS,
                task=DNA_TASKS,
            ),
        ],
        test_rows=expand(
            f"{RESULTS}/reference/tasks/{{task}}.test_rows.tsv", task=DNA_TASKS
        ),
        catalogue=workflow.source_path("../../resources/sequence_tasks.tsv"),
        published=[
            workflow.source_path(f"../../resources/published/{name}.tsv")
            for name in (
                "nucleotide_transformer",
                "nucleotide_transformer_revised",
                "genomic_benchmarks",
            )
        ],
    output:
        metrics=f"{DNA_SCORES}/metrics.parquet",
        text=f"{DNA_SCORES}/table.txt",
        page=report(
            f"{DNA_SCORES}/table.html",
            caption="../report/dna_answer.rst",
            category=DNA_SECTIONS["Answer"],
            labels={"shows": "All models, best first"},
        ),
        table=report(
            f"{DNA_SCORES}/table.tsv",
            caption="../report/dna_table.rst",
            category=DNA_SECTIONS["Answer"],
            labels={"shows": "Every score, published ones too (table)"},
        ),
        answers=report(
            f"{DNA_SCORES}/answers.tsv",
            caption="../report/dna_answers.rst",
            category=DNA_SECTIONS["Answer"],
            labels={"shows": "The questions of the run, answered"},
        ),
        figure=report(
            f"{DNA_SCORES}/scores.svg",
            caption="../report/dna_scores.rst",
            category=DNA_SECTIONS["Answer"],
            labels={"shows": "Scores by task"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/score_sequence_tasks.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/score_sequence_tasks.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        dataset=config["dataset"]["name"],
        compared_with=options(
            compared_with=DNA_MODELS.get(DNA["compared_with"], DNA["compared_with"])
        ),
        test_rows=" ".join(
            options(
                test_rows=[task, f"{RESULTS}/reference/tasks/{task}.test_rows.tsv"]
            )
            for task in DNA_TASKS
        ),
        questions=" ".join(
            options(
                question=[
                    name,
                    one["model"],
                    one["minus"],
                    one["rows_factor"] or 1,
                    *([f"fit={one['method']}"] if one["method"] else []),
                    *(
                        [f"minus-fit={one['minus_method']}"]
                        if one["minus_method"]
                        else []
                    ),
                    *(one["tasks"] or ()),
                ]
            )
            for name, one in DNA_QUESTIONS.items()
        ),
        seed=config["seed"],
    shell:
        "python -m genestill evaluation sequence-scores --predictions {input.predictions:q} --dataset {params.dataset:q}"
        " --catalogue {input.catalogue:q} --published {input.published:q} {params.compared_with} {params.test_rows} {params.questions} --seed {params.seed:q}"
        " --output-answers {output.answers:q}"
        " --output-metrics {output.metrics:q} --output-table {output.table:q} --output-figure {output.figure:q}"
        " 2> {log:q}"


# The first page of the report.
rule summarise_sequence_tasks:
    input:
        metrics=f"{DNA_SCORES}/metrics.parquet",
        table=f"{DNA_SCORES}/table.tsv",
        answers=f"{DNA_SCORES}/answers.tsv",
        picture=f"{DNA_SCORES}/scores.svg",
        admission=TEACHER_ADMISSION,
    output:
        report(
            f"{DNA_SCORES}/summary.html",
            caption="../report/summary.rst",
            category=DNA_SECTIONS["Answer"],
            labels={"shows": "What the DNA students reached"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/summarise_sequence_tasks.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/summarise_sequence_tasks.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        run=SUMMARY,
        downloads=lambda wildcards, input: downloads(
            every_score_with_its_interval_and_published_ones=input.table,
            the_questions_of_the_run_and_their_answers=input.answers,
        ),
    shell:
        "python -m genestill evaluation summary {params.run}"
        " --metrics {input.metrics:q} --picture {input.picture:q} {params.downloads} --output {output:q} 2> {log:q}"


rule draw_sequence_tsne:
    input:
        task=DNA_TASKS[DNA_TSNE_TASK],
        embeddings=[
            file
            for name in DNA_ENCODERS
            for file in dna_features(name, DNA_TSNE_TASK, DNA["seeds"][0])
        ],
    output:
        report(
            f"{DNA_SCORES}/tsne.svg",
            caption="../report/dna_tsne.rst",
            category=DNA_SECTIONS["Representations"],
            labels={"shows": "Sequences of a task in two dimensions"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_sequence_tsne.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_sequence_tsne.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        named=" ".join(
            options(
                embeddings=[name, *dna_features(name, DNA_TSNE_TASK, DNA["seeds"][0])]
            )
            for name in DNA_ENCODERS
        ),
        seed=config["seed"],
    shell:
        "python -m genestill evaluation sequence-tsne --task {input.task:q} {params.named}"
        " --seed {params.seed:q} --output {output:q} 2> {log:q}"
