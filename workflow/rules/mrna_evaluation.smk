# The recipe mrna after its students: probe tasks, embeddings, probes, table.
from genestill.evaluation.settings import ProbeSettings


rule make_transcript_task:
    input:
        lambda wildcards: (
            files_of(MRNA_TASKS[wildcards.task].get("table", ""))
            if "table" in MRNA_TASKS[wildcards.task]
            else MRNA_TASKS[wildcards.task]["classes"]
        ),
    output:
        f"{RESULTS}/reference/tasks/{{task}}.parquet",
    log:
        f"{RESULTS}/logs/reference/make_transcript_task_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/make_transcript_task_{{task}}.tsv"
    wildcard_constraints:
        task="|".join(map(re.escape, MRNA_TASKS)),
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=60,
    params:
        settings=lambda wildcards: options(**MRNA_TASKS[wildcards.task]),
        longest=MRNA["longest"],
        seed=config["seed"],
    shell:
        "python -m genestill reference task --name {wildcards.task:q} {params.settings}"
        " --longest {params.longest:q} --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule embed_transcripts:
    input:
        model=f"{RESULTS}/student/{{run}}/model",
        sequences=f"{MRNA_BENCHMARK}/sequences.fna.gz",
        transcripts=f"{MRNA_BENCHMARK}/transcripts.parquet",
    output:
        f"{RESULTS}/student/{{run}}/embeddings.parquet",
    log:
        f"{RESULTS}/logs/student/embed_transcripts_{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/embed_transcripts_{{run}}.tsv"
    wildcard_constraints:
        run=r"[A-Za-z0-9_-]+\.seed[0-9]+",
    conda:
        "../../envs/genestill.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=240,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        tracks=lambda wildcards: (
            options(tracks=f"{MRNA_BENCHMARK}/transcripts.parquet")
            if reads_tracks(MRNA_STUDENTS[wildcards.run.rsplit(".", 1)[0]])
            else ""
        ),
        device=device,
    shell:
        "OMP_NUM_THREADS=1 python -m genestill student embed {input.sequences:q} --model {input.model:q}"
        " {params.tracks} --device {params.device} --threads {threads} --output {output:q} 2> {log:q}"


rule import_transcript_embeddings:
    input:
        embeddings=lambda wildcards: MRNA_PEERS[wildcards.peer],
        transcripts=f"{MRNA_BENCHMARK}/index.parquet",
    output:
        f"{RESULTS}/evaluation/imported/{{peer}}/embeddings.parquet",
    log:
        f"{RESULTS}/logs/evaluation/import_transcript_embeddings_{{peer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/import_transcript_embeddings_{{peer}}.tsv"
    wildcard_constraints:
        peer="[^/]+",
    priority: 1  # an invalid file should be found before hours of training
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=30,
    shell:
        "python -m genestill evaluation import-embeddings --embeddings {input.embeddings:q}"
        " --transcripts {input.transcripts:q} --output {output:q} 2> {log:q}"


rule probe_transcripts:
    input:
        tasks=MRNA_TASK_FILES,
        groups=MRNA_GROUPS,
        features=probed_features,
    output:
        metrics=f"{MRNA_PROBES}/{{model}}/metrics.parquet",
        predictions=f"{MRNA_PROBES}/{{model}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/evaluation/probe_{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/probe_{{model}}.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "evaluation probe", attempt, held=input.features
        ),
        runtime=240,
    params:
        features=lambda wildcards, input: options(embeddings=input.features),
        baseline=lambda wildcards: (
            options(**MRNA["baselines"][wildcards.model])
            if wildcards.model in MRNA["baselines"]
            else ""
        ),
        model=lambda wildcards: MRNA_RUNS.get(wildcards.model, (wildcards.model,))[0],
        kind=lambda wildcards: mrna_kind(
            MRNA_RUNS.get(wildcards.model, (wildcards.model,))[0]
        ),
        training=lambda wildcards: options(
            training_seed=MRNA_RUNS.get(wildcards.model, (None, None))[1]
        ),
        dataset=config["dataset"]["name"],
        probe=options(**select_settings(MRNA, ProbeSettings)),
        kept=f"{RESULTS}/evaluation/features",
    shell:
        "OMP_NUM_THREADS={threads} python -m genestill evaluation probe --tasks {input.tasks:q}"
        " --groups {input.groups:q} {params.features} {params.baseline} --model {params.model:q}"
        " --model-kind {params.kind:q} {params.training} --dataset {params.dataset:q} {params.probe}"
        " --features-folder {params.kept:q}"
        " --output-metrics {output.metrics:q}"
        " --output-predictions {output.predictions:q} 2> {log:q}"


rule tabulate_transcript_probes:
    input:
        predictions=expand(
            f"{MRNA_PROBES}/{{model}}/predictions.parquet",
            model=[
                config["teacher"]["name"],
                *MRNA["baselines"],
                *MRNA_RUNS,
                *MRNA_PEERS,
            ],
        ),
        baselines=expand(
            f"{MRNA_PROBES}/{{model}}/metrics.parquet", model=MRNA["baselines"]
        ),
        training=expand(f"{RESULTS}/student/{{run}}/training.json", run=MRNA_RUNS),
    output:
        f"{MRNA_TABLE}/table.txt",
        f"{MRNA_TABLE}/metrics.parquet",
        report(
            f"{MRNA_TABLE}/table.html",
            caption="../report/mrna_answer.rst",
            category=MRNA_SECTIONS["Answer"],
            labels={"shows": "All models, by mean score"},
        ),
        report(
            f"{MRNA_TABLE}/table.tsv",
            caption="../report/mrna_answer.rst",
            category=MRNA_SECTIONS["Answer"],
            labels={"shows": "All models, by mean score (table)"},
        ),
        report(
            f"{MRNA_TABLE}/scores.svg",
            caption="../report/mrna_scores.rst",
            category=MRNA_SECTIONS["Answer"],
            labels={"shows": "Mean scores with their intervals"},
        ),
        report(
            f"{MRNA_TABLE}/stability.tsv",
            caption="../report/mrna_stability.rst",
            category=MRNA_SECTIONS["Training"],
            labels={"shows": "Stability of every run (table)"},
        ),
        report(
            f"{MRNA_TABLE}/training.svg",
            caption="../report/mrna_training.rst",
            category=MRNA_SECTIONS["Training"],
            labels={"shows": "Loss and gradient by step"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/tabulate_transcript_probes.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/tabulate_transcript_probes.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=60,
    params:
        settings=options(
            dataset=config["dataset"]["name"],
            teacher=config["teacher"]["name"],
            baselines=list(MRNA["baselines"]),
            student=MRNA_SHOWN,
            replicates=MRNA["replicates"],
            seed=config["seed"],
        ),
        runs=options(
            training=[
                f"{name}@{seed}={RESULTS}/student/{run}"
                for run, (name, seed) in MRNA_RUNS.items()
            ]
        ),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m genestill evaluation probe-table --predictions {input.predictions:q} {params.settings}"
        " --baseline-metrics {input.baselines:q} {params.runs} --output {params.folder:q} 2> {log:q}"


# The first page of the report.
rule summarise_transcripts:
    input:
        metrics=f"{MRNA_TABLE}/metrics.parquet",
        table=f"{MRNA_TABLE}/table.tsv",
        picture=f"{MRNA_TABLE}/scores.svg",
        admission=TEACHER_ADMISSION,
    output:
        report(
            f"{MRNA_TABLE}/summary.html",
            caption="../report/summary.rst",
            category=MRNA_SECTIONS["Answer"],
            labels={"shows": "What the transcript students reached"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/summarise_transcripts.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/summarise_transcripts.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        run=SUMMARY,
        facts=options(fact=f"transcripts={RESULTS}/reference/overlap.json"),
        downloads=lambda wildcards, input: downloads(
            every_score_with_its_interval=input.table
        ),
    shell:
        "python -m genestill evaluation summary {params.run} {params.facts}"
        " --metrics {input.metrics:q} --picture {input.picture:q} {params.downloads} --output {output:q} 2> {log:q}"


rule draw_transcript_tsne:
    input:
        tasks=MRNA_TASK_FILES,
        teacher=teacher_shards("benchmark"),
        student=f"{RESULTS}/student/{MRNA_SHOWN}.seed{MRNA['seeds'][0]}/embeddings.parquet",
    output:
        report(
            f"{MRNA_TABLE}/maps.svg",
            caption="../report/mrna_maps.rst",
            category=MRNA_SECTIONS["Representations"],
            labels={"shows": "Transcripts in two dimensions"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_transcript_tsne.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_transcript_tsne.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        teacher=config["teacher"]["name"],
        student=MRNA_SHOWN,
        seed=config["seed"],
    shell:
        "python -m genestill evaluation probe-tsne --tasks {input.tasks:q} --model {params.teacher:q}"
        " {input.teacher:q} --model {params.student:q} {input.student:q} --seed {params.seed:q}"
        " --output {output:q} 2> {log:q}"


rule release_transcript_student:
    input:
        model=f"{RESULTS}/student/{MRNA_SHOWN}.seed{MRNA['seeds'][0]}/model",
        training=f"{RESULTS}/student/{MRNA_SHOWN}.seed{MRNA['seeds'][0]}/training.json",
        metrics=f"{MRNA_PROBES}/{MRNA_SHOWN}.seed{MRNA['seeds'][0]}/metrics.parquet",
    output:
        directory(MRNA_RELEASE),
    log:
        f"{RESULTS}/logs/evaluation/release_transcript_student.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/release_transcript_student.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    params:
        card=options(
            title=f"{config['dataset']['name']}: {MRNA_SHOWN}",
            summary="A small encoder of transcripts, distilled by genestill from the embeddings of a larger model.",
            limit=[
                f"Trained only on the transcripts of {config['dataset']['name']}; not tested on others.",
                "Measured by linear probes on frozen embeddings; fine-tuning was not tried.",
            ],
            measured_on="linear probes by mRNABench's protocol, mean and range over the splits",
        ),
    shell:
        "python -m genestill student card --model {input.model:q} --metrics {input.metrics:q}"
        " --training {input.training:q} {params.card} --output {output:q} 2> {log:q}"
