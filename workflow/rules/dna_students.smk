# The recipes had and seqlens up to their students: windows, tokenizer, teacher, students.
rule cut_windows:
    input:
        genomes=dna_genomes(DNA["windows"]["genomes"]),
    output:
        DNA_WINDOWS,
    log:
        f"{RESULTS}/logs/reference/cut_windows.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/cut_windows.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        folder=options(genomes_folder=REFERENCE["genomes_folder"]),
        settings=dna_window_settings(None),
        seed=config["seed"],
    shell:
        "python -m genestill reference windows --genomes {input.genomes:q} {params.folder}"
        " {params.settings} --seed {params.seed:q} --output {output:q} 2> {log:q}"


use rule cut_windows as cut_corpus with:
    input:
        genomes=lambda wildcards: dna_genomes(
            DNA_CORPORA[wildcards.corpus].get("genomes") or DNA["windows"]["genomes"]
        ),
    output:
        f"{RESULTS}/reference/windows/{{corpus}}.fna.gz",
    log:
        f"{RESULTS}/logs/reference/cut_corpus_{{corpus}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/cut_corpus_{{corpus}}.tsv"
    wildcard_constraints:
        corpus="|".join(map(re.escape, DNA_CORPORA)) or "(?!)",
    params:
        folder=options(genomes_folder=REFERENCE["genomes_folder"]),
        settings=lambda wildcards: dna_window_settings(wildcards.corpus),
        seed=config["seed"],


use rule cut_windows as cut_regions with:
    output:
        DNA_REGIONS,
    log:
        f"{RESULTS}/logs/reference/cut_regions.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/cut_regions.tsv"
    params:
        folder=options(genomes_folder=REFERENCE["genomes_folder"]),
        settings=dna_window_settings(None, region_windows=16),
        seed=config["seed"],


rule train_tokenizer:
    input:
        DNA_WINDOWS,
    output:
        directory(f"{DNA_TOKENIZERS}/{{tokens}}"),
    log:
        f"{RESULTS}/logs/student/train_tokenizer_{{tokens}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/train_tokenizer_{{tokens}}.tsv"
    wildcard_constraints:
        tokens=r"bpe-\d+|\d-mers",
    conda:
        "../../envs/genestill.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student train-tokenizer", attempt, held=input[0]
        ),
        runtime=120,
    params:
        words=lambda wildcards: (
            options(kmer=wildcards.tokens.removesuffix("-mers"))
            if wildcards.tokens.endswith("-mers")
            else options(vocabulary=wildcards.tokens.removeprefix("bpe-"))
        ),
    shell:
        "python -m genestill student train-tokenizer --sequences {input:q} {params.words}"
        " --output {output:q} 2> {log:q}"


rule index_windows:
    input:
        DNA_WINDOWS,
    output:
        index=f"{RESULTS}/reference/windows.parquet",
        abundance=temp(f"{RESULTS}/reference/windows_abundance.parquet"),
    log:
        f"{RESULTS}/logs/reference/index_windows.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/index_windows.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    shell:
        "python -m genestill reference contigs --contigs {input:q} --minimum-length 1 --output-index {output.index:q}"
        " --output-abundance {output.abundance:q} 2> {log:q}"


rule pretrain_dna_student:
    input:
        sequences=dna_corpus,
        tokenizer=dna_tokenizer,
        initial=dna_initial,
        admitted=TEACHER_ADMITTED,
    output:
        model=directory(f"{RESULTS}/student/{{student}}/model"),
        history=f"{RESULTS}/student/{{student}}/history.tsv",
    log:
        f"{RESULTS}/logs/student/pretrain_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/pretrain_{{student}}.tsv"
    wildcard_constraints:
        student=dna_folders(DNA_PRETRAINED),
    conda:
        "../../envs/genestill.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student pretrain-dna", attempt, held=input.sequences
        ),
        runtime=lambda wildcards, attempt: 720 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        settings=lambda wildcards: dna_student(wildcards.student),
        tokenizer=lambda wildcards, input: options(tokenizer=input.tokenizer),
        device=device_of_training,
    shell:
        "python -m genestill student pretrain-dna --sequences {input.sequences:q} {params.settings}"
        " {params.tokenizer} --device {params.device} --output-history {output.history:q} --output {output.model:q} 2> {log:q}"


rule distil_dna_student:
    input:
        unpack(dna_of_teacher),
        tokenizer=dna_tokenizer,
        initial=dna_initial,
        admitted=TEACHER_ADMITTED,
    output:
        model=directory(f"{RESULTS}/student/{{student}}/model"),
        history=f"{RESULTS}/student/{{student}}/history.tsv",
    log:
        f"{RESULTS}/logs/student/distil_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/distil_{{student}}.tsv"
    wildcard_constraints:
        student=dna_folders(DNA_DISTILLED),
    conda:
        "../../envs/genestill.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student distil-dna",
            attempt,
            held=[input.sequences, input.get("teacher", [])],
            shards=input.get("features", []),
        ),
        runtime=lambda wildcards, attempt: 720 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        settings=lambda wildcards: dna_student(wildcards.student),
        features=dna_distillation_options,
        tokenizer=lambda wildcards, input: options(tokenizer=input.tokenizer),
        device=device_of_training,
    shell:
        "python -m genestill student distil-dna --sequences {input.sequences:q} {params.features}"
        " {params.settings} {params.tokenizer} --device {params.device} --output-history {output.history:q}"
        " --output {output.model:q} 2> {log:q}"
