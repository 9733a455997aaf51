# An assembled community: reads drawn from genomes, plasmids and eukaryotes, their assembly, depths and ground truth.

MIXTURE = f"{RESULTS}/reference/mixture"
READS = f"{RESULTS}/reference/reads"
ASSEMBLY_SAMPLES = [f"S{n}" for n in range(1, REFERENCE["community"]["samples"] + 1)]


def assembly_genomes(wildcards):
    """The genomes to sequence; raises an error if a program for the assembly is missing."""
    from genestill.reference.assembly import require_programs

    if not (WITH_CONDA or Path(COMMUNITY, "truth.tsv").exists()):
        try:
            require_programs()
        except InputError as error:
            raise WorkflowError(f"dataset {DATASET['name']}: {error}")
    return COMMUNITY_GENOMES


rule draw_mixture:
    input:
        genomes=assembly_genomes,
        eukaryotes=REFERENCE["eukaryotes"] or [],
    output:
        directory(MIXTURE),
    log:
        f"{RESULTS}/logs/reference/draw_mixture.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/draw_mixture.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        settings=options(
            lineage_column=REFERENCE["lineage_column"],
            minimum_length=DATASET["minimum_length"],
            **REFERENCE["community"],
            **REFERENCE["assembly"],
        ),
        eukaryotes=lambda wildcards, input: options(eukaryotes=input.eukaryotes),
        seed=config["seed"],
        genomes_folder=lambda wildcards: SOURCE_FOLDER,
    shell:
        "python -m genestill reference mixture --genomes {input.genomes:q} --genomes-folder {params.genomes_folder:q}"
        " {params.settings} {params.eukaryotes} --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule simulate_reads:
    input:
        MIXTURE,
    output:
        temp(f"{READS}/{{sample}}_1.fq.gz"),
        temp(f"{READS}/{{sample}}_2.fq.gz"),
    log:
        f"{RESULTS}/logs/reference/simulate_reads_{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/simulate_reads_{{sample}}.tsv"
    wildcard_constraints:
        sample=r"S\d+",
    conda:
        "../../envs/assembly.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=60,
    params:
        settings=options(**REFERENCE["assembly"]),
        seed=config["seed"],
    shell:
        "python -m genestill reference reads --mixture {input:q} --sample {wildcards.sample:q} {params.settings}"
        " --seed {params.seed:q} --output {output:q} 2> {log:q}"


rule assemble_reads:
    input:
        first=expand(f"{READS}/{{sample}}_1.fq.gz", sample=ASSEMBLY_SAMPLES),
        second=expand(f"{READS}/{{sample}}_2.fq.gz", sample=ASSEMBLY_SAMPLES),
    output:
        f"{RESULTS}/reference/assembly.fna",
    log:
        f"{RESULTS}/logs/reference/assemble_reads.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/assemble_reads.tsv"
    conda:
        "../../envs/assembly.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=120,
    shell:
        "python -m genestill reference assembly --reads-1 {input.first:q} --reads-2 {input.second:q}"
        " --threads {threads} --output {output:q} 2> {log:q}"


rule map_reads:
    input:
        contigs=f"{RESULTS}/reference/assembly.fna",
        reads=[f"{READS}/{{sample}}_1.fq.gz", f"{READS}/{{sample}}_2.fq.gz"],
    output:
        f"{RESULTS}/reference/mapping/{{sample}}.tsv",
    log:
        f"{RESULTS}/logs/reference/map_reads_{{sample}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/map_reads_{{sample}}.tsv"
    wildcard_constraints:
        sample=r"S\d+",
    conda:
        "../../envs/assembly.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    shell:
        "python -m genestill reference mapping --contigs {input.contigs:q} --reads {input.reads:q} --threads {threads}"
        " --output {output:q} 2> {log:q}"


rule trace_contigs:
    input:
        mixture=MIXTURE,
        contigs=f"{RESULTS}/reference/assembly.fna",
        coverage=expand(
            f"{RESULTS}/reference/mapping/{{sample}}.tsv", sample=ASSEMBLY_SAMPLES
        ),
    output:
        contigs=f"{COMMUNITY}/contigs.fna.gz",
        abundance=f"{COMMUNITY}/abundance.tsv",
        truth=f"{COMMUNITY}/truth.tsv",
        reference=f"{COMMUNITY}/reference.tsv",
    log:
        f"{RESULTS}/logs/reference/trace_contigs.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/trace_contigs.tsv"
    conda:
        "../../envs/assembly.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        coverage=options(
            coverage=[
                f"{sample}={RESULTS}/reference/mapping/{sample}.tsv"
                for sample in ASSEMBLY_SAMPLES
            ]
        ),
        minimum_length=DATASET["minimum_length"],
        folder=lambda wildcards, output: Path(output.contigs).parent,
    shell:
        "python -m genestill reference tracing --mixture {input.mixture:q} --contigs {input.contigs:q}"
        " {params.coverage} --minimum-length {params.minimum_length:q} --threads {threads} --output {params.folder:q}"
        " 2> {log:q}"
