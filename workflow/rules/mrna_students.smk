# The recipe mrna up to its students: transcripts, the benchmark without relatives in them, teacher, students.
from genestill.reference.settings import TranscriptSettings


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
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    params:
        folder=subpath(output[0], parent=True),
        seed=config["seed"],
    shell:
        "python -m genestill reference simulate-transcriptome --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


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
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=60,
    params:
        sources=" ".join(
            options(source=f"{name}={place}") for name, place in MRNA_SOURCES.items()
        ),
        lengths=options(**select_settings(MRNA, TranscriptSettings)),
        folder=subpath(output[0], parent=True),
        seed=config["seed"],
    shell:
        "python -m genestill reference transcripts {params.sources} {params.lengths} --seed {params.seed:q}"
        " --output {params.folder:q} 2> {log:q}"


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
        coding=expand(
            "{folder}/coding/{file}",
            folder=[MRNA_CORPUS, MRNA_BENCHMARK],
            file=["sequences.fna.gz", "index.parquet"],
        ),
        groups=MRNA_GROUPS,
        overlap=report(
            f"{RESULTS}/reference/overlap.json",
            caption="../report/mrna_overlap.rst",
            category=MRNA_SECTIONS["Training"],
            labels={"shows": "Transcripts left out (JSON)"},
        ),
    log:
        f"{RESULTS}/logs/reference/leave_out_relatives.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/leave_out_relatives.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "reference relatives", attempt, held=input.transcripts
        ),
        runtime=240,
    params:
        homology=options(**MRNA["homology"]),
        corpus=subpath(output.corpus, parent=True),
        benchmark=subpath(output.benchmark, parent=True),
    shell:
        "python -m genestill reference relatives --transcripts {input.transcripts:q} --tasks {input.tasks:q}"
        " {params.homology} --threads {threads} --output-transcripts {params.corpus:q}"
        " --output-benchmark {params.benchmark:q} --output-groups {output.groups:q}"
        " --output-overlap {output.overlap:q} 2> {log:q}"


rule pair_transcripts:
    input:
        f"{MRNA_CORPUS}/transcripts.parquet",
    output:
        MRNA_PAIRS,
    log:
        f"{RESULTS}/logs/reference/pair_transcripts.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/pair_transcripts.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "reference relatives", attempt, held=input[0]
        ),
        runtime=240,
    params:
        species=options(
            species=[
                f"{name}={','.join(sources)}"
                for name, sources in MRNA["species"].items()
            ]
        ),
    shell:
        "python -m genestill reference pair-transcripts --transcripts {input:q} {params.species} --threads {threads}"
        " --output {output:q} 2> {log:q}"


rule distil_transcript_student:
    input:
        unpack(lambda wildcards: matched_shards(wildcards.student)),
        transcripts=f"{MRNA_CORPUS}/transcripts.parquet",
        pairs=lambda wildcards: (
            MRNA_PAIRS
            if reads_pairs(MRNA_STUDENTS[wildcards.student]["objective"])
            else []
        ),
        model=lambda wildcards: (
            [] if MRNA_STUDENTS[wildcards.student]["parameters"] else TEACHER_MODEL
        ),
        passed=TEACHER_PASSED,
        admitted=TEACHER_ADMITTED,
    output:
        model=directory(f"{RESULTS}/student/{{student}}.seed{{student_seed}}/model"),
        training=f"{RESULTS}/student/{{student}}.seed{{student_seed}}/training.json",
    log:
        f"{RESULTS}/logs/student/distil_transcript_student_{{student}}.seed{{student_seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/distil_transcript_student_{{student}}.seed{{student_seed}}.tsv"
    wildcard_constraints:
        student="|".join(map(re.escape, MRNA_STUDENTS)),
        student_seed=r"\d+",
    conda:
        "../../envs/genestill.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student distil-transcripts",
            attempt,
            held=[input.transcripts, input.get("embeddings", [])],
        ),
        runtime=600,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        settings=lambda wildcards: options(**MRNA_STUDENTS[wildcards.student]),
        told=lambda wildcards: options(
            **matched_shards(wildcards.student), teacher_reads=MRNA_READS
        ),
        model=lambda wildcards, input: options(
            teacher_model=input.model, pairs=input.pairs
        ),
        device=device_of_training,
        folder=subpath(output.training, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m genestill student distil-transcripts --transcripts {input.transcripts:q}"
        " {params.model} {params.told} {params.settings} --keep-diverged"
        " --seed {wildcards.student_seed:q} --device {params.device} --threads {threads} --output {params.folder:q} 2> {log:q}"
