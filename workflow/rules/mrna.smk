# The recipe mrna: transcripts, teacher, students, probes, table. Target: snakemake --cores N mrna
include: "mrna_common.smk"


wildcard_constraints:
    student="[A-Za-z0-9_-]+",
    match_seed="[0-9]+",
    what="embeddings|tokens|base-log-probabilities",


localrules:
    mrna,


rule mrna:
    input:
        f"{MRNA_TABLE}/table.txt",
        f"{MRNA_TABLE}/maps.svg",


rule simulate_transcriptome:
    output:
        multiext(
            f"{TRANSCRIPTOME}/",
            "genome.fna.gz",
            "annotation.gtf",
            "tasks.tsv",
            "coding.fna.gz",
            "noncoding.fna.gz",
        ),
    log:
        f"{RESULTS}/logs/reference/simulate_transcriptome.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/simulate_transcriptome.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        folder=subpath(output[0], parent=True),
        seed=config["seed"],
    shell:
        "python -m genestill reference transcriptome --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


rule collect_transcripts:
    input:
        [file for place in MRNA_SOURCES.values() for file in files_of(place)],
    output:
        multiext(f"{RESULTS}/reference/transcripts/transcripts", ".parquet", ".json"),
    log:
        f"{RESULTS}/logs/reference/collect_transcripts.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/collect_transcripts.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        sources=" ".join(
            options(source=f"{name}={place}") for name, place in MRNA_SOURCES.items()
        ),
        lengths=options(shortest=MRNA["shortest"], longest=MRNA["longest"]),
        folder=subpath(output[0], parent=True),
        seed=config["seed"],
    shell:
        "python -m genestill reference transcripts {params.sources} {params.lengths} --seed {params.seed:q}"
        " --output {params.folder:q} 2> {log:q}"


rule make_probe_task:
    input:
        lambda wildcards: (
            files_of(MRNA_TASKS[wildcards.task].get("table", ""))
            if "table" in MRNA_TASKS[wildcards.task]
            else MRNA_TASKS[wildcards.task]["classes"]
        ),
    output:
        f"{RESULTS}/reference/tasks/{{task}}.parquet",
    log:
        f"{RESULTS}/logs/reference/make_probe_task_{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/make_probe_task_{{task}}.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        settings=lambda wildcards: options(
            **{
                "split": "homology",
                **{
                    key: value
                    for key, value in MRNA_TASKS[wildcards.task].items()
                    if key != "logarithm"
                },
            }
        ),
        logarithm=lambda wildcards: (
            "--logarithm" if MRNA_TASKS[wildcards.task].get("logarithm") else ""
        ),
        longest=MRNA["longest"],
        seed=config["seed"],
    shell:
        "python -m genestill reference task --name {wildcards.task:q} {params.settings} {params.logarithm}"
        " --longest {params.longest:q} --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule leave_out_relatives:
    input:
        transcripts=f"{RESULTS}/reference/transcripts/transcripts.parquet",
        tasks=MRNA_TASK_FILES,
    output:
        transcripts=f"{MRNA_CORPUS}/transcripts.parquet",
        corpus=f"{MRNA_CORPUS}/sequences.fna.gz",
        corpus_index=f"{MRNA_CORPUS}/index.parquet",
        benchmark=f"{MRNA_BENCHMARK}/sequences.fna.gz",
        benchmark_transcripts=f"{MRNA_BENCHMARK}/transcripts.parquet",
        benchmark_index=f"{MRNA_BENCHMARK}/index.parquet",
        groups=MRNA_GROUPS,
        overlap=report(
            f"{RESULTS}/reference/overlap.json",
            caption="../report/mrna_overlap.rst",
            category="mrna",
        ),
    log:
        f"{RESULTS}/logs/reference/leave_out_relatives.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/leave_out_relatives.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        likeness=options(**MRNA["likeness"]),
        corpus=subpath(output.corpus, parent=True),
        benchmark=subpath(output.benchmark, parent=True),
    shell:
        "python -m genestill reference relatives --transcripts {input.transcripts:q} --tasks {input.tasks:q}"
        " {params.likeness} --threads {threads} --output-transcripts {params.corpus:q}"
        " --output-benchmark {params.benchmark:q} --output-groups {output.groups:q}"
        " --output-overlap {output.overlap:q} 2> {log:q}"


rule pretrain_transcript_teacher:
    input:
        f"{MRNA_CORPUS}/sequences.fna.gz",
    output:
        directory(f"{MRNA_TEACHER}/model"),
    log:
        f"{RESULTS}/logs/teacher/pretrain_transcript_teacher.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/pretrain_transcript_teacher.tsv"
    conda:
        "../../envs/teacher.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=600,
        gpu=1,
    params:
        settings=options(**MRNA["teacher"]["pretraining"]),
        name=MRNA["teacher"]["name"],
        seed=config["seed"],
    shell:
        "OMP_NUM_THREADS={threads} python -m genestill teacher pretrain --genomes {input:q} {params.settings}"
        " --name {params.name:q} --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule ask_transcript_teacher:
    input:
        model=MRNA_TEACHER_MODEL,
        sequences=f"{RESULTS}/reference/{{set}}/sequences.fna.gz",
        index=f"{RESULTS}/reference/{{set}}/index.parquet",
    output:
        f"{MRNA_TEACHER}/{{set}}/{{what}}.parquet",
    log:
        f"{RESULTS}/logs/teacher/ask_transcript_teacher_{{set}}_{{what}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/ask_transcript_teacher_{{set}}_{{what}}.tsv"
    wildcard_constraints:
        set="corpus|benchmark",
    conda:
        "../../envs/teacher.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=600,
        gpu=1,
    params:
        settings=options(
            layer=MRNA["teacher"]["layer"],
            pooling=MRNA["teacher"]["pooling"],
            masked_passes=MRNA["teacher"]["masked_passes"],
        ),
    shell:
        "OMP_NUM_THREADS={threads} python -m genestill teacher embed --model {input.model:q}"
        " --contigs {input.sequences:q} --index {input.index:q} --what {wildcards.what:q} {params.settings}"
        " --output {output:q} 2> {log:q}"


rule match_student:
    input:
        unpack(lambda wildcards: teacher_shards(wildcards.student)),
        transcripts=f"{MRNA_CORPUS}/transcripts.parquet",
        model=MRNA_TEACHER_MODEL,
    output:
        model=directory(f"{RESULTS}/student/{{student}}.seed{{match_seed}}/model"),
        training=f"{RESULTS}/student/{{student}}.seed{{match_seed}}/training.json",
    log:
        f"{RESULTS}/logs/student/match_student_{{student}}.seed{{match_seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/match_student_{{student}}.seed{{match_seed}}.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=600,
        gpu=1,
    params:
        settings=lambda wildcards: options(
            **{
                key: value
                for key, value in MRNA_STUDENTS[wildcards.student].items()
                if key != "tracks"
            }
        ),
        tracks=lambda wildcards: (
            "--tracks" if MRNA_STUDENTS[wildcards.student].get("tracks") else ""
        ),
        told=lambda wildcards: options(**teacher_shards(wildcards.student)),
        folder=subpath(output.training, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m genestill student match --transcripts {input.transcripts:q}"
        " --teacher-model {input.model:q} {params.told} {params.settings} {params.tracks} --keep-diverged"
        " --seed {wildcards.match_seed:q} --threads {threads} --output {params.folder:q} 2> {log:q}"


rule embed_with_student:
    input:
        model=f"{RESULTS}/student/{{run}}/model",
        sequences=f"{MRNA_BENCHMARK}/sequences.fna.gz",
        transcripts=f"{MRNA_BENCHMARK}/transcripts.parquet",
    output:
        f"{RESULTS}/student/{{run}}/embeddings.parquet",
    log:
        f"{RESULTS}/logs/student/embed_with_student_{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/embed_with_student_{{run}}.tsv"
    wildcard_constraints:
        run=r"[A-Za-z0-9_-]+\.seed[0-9]+",
    conda:
        "../../envs/genestill.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=1,
    params:
        tracks=lambda wildcards, input: (
            options(tracks=str(input.transcripts))
            if MRNA_STUDENTS[wildcards.run.rsplit(".", 1)[0]].get("tracks")
            else ""
        ),
    shell:
        "OMP_NUM_THREADS=1 python -m genestill student embed {input.sequences:q} --model {input.model:q}"
        " {params.tracks} --threads {threads} --output {output:q} 2> {log:q}"


rule probe:
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
        mem_mb=8000,
        runtime=240,
    params:
        features=lambda wildcards, input: options(
            embeddings=input.features, kmers=MRNA["floors"].get(wildcards.model)
        ),
        dataset=config["dataset"]["name"],
        seeds=MRNA["split_seeds"],
    shell:
        "OMP_NUM_THREADS={threads} python -m genestill evaluation probe --tasks {input.tasks:q}"
        " --groups {input.groups:q} {params.features} --model {wildcards.model:q} --dataset {params.dataset:q}"
        " --seeds {params.seeds:q} --output-metrics {output.metrics:q}"
        " --output-predictions {output.predictions:q} 2> {log:q}"


rule tabulate_probes:
    input:
        predictions=expand(
            f"{MRNA_PROBES}/{{model}}/predictions.parquet",
            model=[MRNA["teacher"]["name"], *MRNA["floors"], *MRNA_RUNS],
        ),
        training=expand(f"{RESULTS}/student/{{run}}/training.json", run=MRNA_RUNS),
    output:
        report(
            multiext(f"{MRNA_TABLE}/", "table.txt", "table.tsv", "stability.tsv"),
            caption="../report/mrna_table.rst",
            category="mrna",
        ),
        report(
            multiext(f"{MRNA_TABLE}/", "scores.svg", "training.svg"),
            caption="../report/mrna_table.rst",
            category="mrna",
        ),
    log:
        f"{RESULTS}/logs/evaluation/tabulate_probes.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/tabulate_probes.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=options(
            teacher=MRNA["teacher"]["name"],
            floors=list(MRNA["floors"]),
            replicates=MRNA["replicates"],
            seed=config["seed"],
        ),
        runs=lambda wildcards, input: options(
            training=[str(Path(file).parent) for file in input.training]
        ),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m genestill evaluation probe-table --predictions {input.predictions:q} {params.settings}"
        " {params.runs} --output {params.folder:q} 2> {log:q}"


rule draw_maps:
    input:
        tasks=MRNA_TASK_FILES,
        teacher=f"{MRNA_TEACHER}/benchmark/embeddings.parquet",
        student=f"{RESULTS}/student/{MRNA_SHOWN}.seed{MRNA['seeds'][0]}/embeddings.parquet",
    output:
        report(
            f"{MRNA_TABLE}/maps.svg",
            caption="../report/mrna_maps.rst",
            category="mrna",
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_maps.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_maps.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        teacher=MRNA["teacher"]["name"],
        student=MRNA_SHOWN,
        seed=config["seed"],
    shell:
        "python -m genestill evaluation probe-maps --tasks {input.tasks:q} --model {params.teacher:q}"
        " {input.teacher:q} --model {params.student:q} {input.student:q} --seed {params.seed:q}"
        " --output {output:q} 2> {log:q}"
