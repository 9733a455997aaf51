# The recipes had and seqlens up to their students: windows, tokenizer, teacher, students.
rule cut_windows:
    input:
        genomes=COMMUNITY_GENOMES,
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
        mem_mb=4000,
        runtime=60,
    params:
        folder=options(genomes_folder=REFERENCE["genomes_folder"]),
        settings=options(
            **DNA["windows"], without_tests_of=None if DNA["tasks"] else "phylum"
        ),
        seed=config["seed"],
    shell:
        "python -m genestill reference windows --genomes {input.genomes:q} {params.folder}"
        " {params.settings} --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule train_tokenizer:
    input:
        DNA_WINDOWS,
    output:
        directory(DNA_TOKENIZER),
    log:
        f"{RESULTS}/logs/student/train_tokenizer.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/train_tokenizer.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        vocabulary=DNA["vocabulary"],
    shell:
        "python -m genestill student dna-tokenizer --sequences {input:q} --vocabulary {params.vocabulary:q}"
        " --output {output:q} 2> {log:q}"


rule pretrain_kmer_teacher:
    input:
        DNA_WINDOWS,
    output:
        directory(f"{RESULTS}/teacher/nucleotide-transformer/model"),
    log:
        f"{RESULTS}/logs/teacher/pretrain_nucleotide-transformer.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/pretrain_nucleotide-transformer.tsv"
    conda:
        "../../envs/teacher.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 360 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        settings=options(
            **{
                key: value
                for key, value in DNA["teacher"].items()
                if key not in ("model", "shards")
            }
        ),
        context=DNA["windows"]["length"] // 6 + 12,
        seed=config["seed"],
    shell:
        "python -m genestill teacher pretrain --architecture nucleotide-transformer --genomes {input:q}"
        " {params.settings} --context {params.context:q} --seed {params.seed:q} --output {output:q} 2> {log:q}"


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
        mem_mb=2000,
        runtime=30,
    shell:
        "python -m genestill reference contigs --contigs {input:q} --minimum-length 1 --output-index {output.index:q}"
        " --output-abundance {output.abundance:q} 2> {log:q}"


rule embed_windows:
    input:
        model=DNA_TEACHER,
        windows=DNA_WINDOWS,
        index=f"{RESULTS}/reference/windows.parquet",
    output:
        f"{DNA_FEATURES}/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/teacher/embed_windows_{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teacher/embed_windows_{{shard}}.tsv"
    wildcard_constraints:
        shard=r"\d+",
    conda:
        "../../envs/teacher.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 360 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        shards=DNA["teacher"]["shards"],
    shell:
        "python -m genestill teacher embed --what tokens --model {input.model:q} --contigs {input.windows:q}"
        " --index {input.index:q} --shard {wildcards.shard:q} --shards {params.shards:q} --output {output:q} 2> {log:q}"


rule pretrain_student:
    input:
        sequences=DNA_WINDOWS,
        tokenizer=dna_tokenizer,
        initial=dna_initial,
    output:
        model=directory(f"{RESULTS}/student/{{student}}/model"),
        history=f"{RESULTS}/student/{{student}}/history.tsv",
    log:
        f"{RESULTS}/logs/student/pretrain_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/pretrain_{{student}}.tsv"
    wildcard_constraints:
        student="|".join(DNA_PRETRAINED) or "(?!)",
    conda:
        "../../envs/genestill.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        settings=lambda wildcards: dna_student(wildcards.student),
        tokenizer=lambda wildcards, input: options(tokenizer=input.tokenizer),
    shell:
        "python -m genestill student dna-pretrain --sequences {input.sequences:q} {params.settings}"
        " {params.tokenizer} --history {output.history:q} --output {output.model:q} 2> {log:q}"


rule distil_student:
    input:
        sequences=DNA_WINDOWS,
        features=expand(
            f"{DNA_FEATURES}/{{shard}}.parquet", shard=range(DNA["teacher"]["shards"])
        ),
        tokenizer=dna_tokenizer,
        initial=dna_initial,
    output:
        model=directory(f"{RESULTS}/student/{{student}}/model"),
        history=f"{RESULTS}/student/{{student}}/history.tsv",
    log:
        f"{RESULTS}/logs/student/distil_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/distil_{{student}}.tsv"
    wildcard_constraints:
        student="|".join(DNA_DISTILLED) or "(?!)",
    conda:
        "../../envs/genestill.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
        gpu=1,
        gpu_model=GPU_MODEL,
    params:
        settings=lambda wildcards: dna_student(wildcards.student),
        tokenizer=lambda wildcards, input: options(tokenizer=input.tokenizer),
    shell:
        "python -m genestill student dna-distil --sequences {input.sequences:q} --features {input.features:q}"
        " {params.settings} {params.tokenizer} --history {output.history:q}"
        " --output {output.model:q} 2> {log:q}"
