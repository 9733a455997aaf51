# New contigs with the same reference, classified by the students of the benchmark without search and teacher; for
# comparison also with a search, and by Kraken 2 with databases of several sizes. The genomes and the taxa that the reference
# lacks are the same as before; abundances, contigs and their errors are new.

NEW = f"{RESULTS}/new"
# The source of evidence from the search.
SEARCH = next(
    (name for name in config["student"]["evidence"] if EVIDENCE[name].behind_labels),
    "hits",
)
# The hits for each way of classifying new contigs.
NEW_HITS = dict.fromkeys(NEW_STUDENTS, []) | {
    "corrector-searched": f"{NEW}/labels/hits.parquet"
}


use rule cut_community as cut_new_community with:
    output:
        contigs=f"{NEW}/reference/community/contigs.fna.gz",
        abundance=f"{NEW}/reference/community/abundance.tsv",
        truth=f"{NEW}/reference/community/truth.tsv",
        reference=f"{NEW}/reference/community/reference.tsv",
    log:
        f"{RESULTS}/logs/reference/cut_new_community.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/cut_new_community.tsv"
    params:
        settings=options(
            lineage_column=REFERENCE["lineage_column"],
            minimum_length=DATASET["minimum_length"],
            split_seed=config["seed"],
            **REFERENCE["community"],
        ),
        seed=config["seed"] + 10_000,
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
        folder=lambda wildcards, output: Path(output.contigs).parent,


use rule index_contigs as index_new_contigs with:
    input:
        contigs=f"{NEW}/reference/community/contigs.fna.gz",
        abundance=f"{NEW}/reference/community/abundance.tsv",
        bam=[],
        labels=[],
        truth=f"{NEW}/reference/community/truth.tsv",
        reference=f"{NEW}/reference/community/reference.tsv",
        species_sets=SPECIES_SETS,
        identities=IDENTITIES,
    output:
        index=f"{NEW}/reference/contigs.parquet",
        abundance=f"{NEW}/reference/abundance.parquet",
        vamb=f"{NEW}/reference/abundance.tsv",
        truth=f"{NEW}/reference/truth.parquet",
    log:
        f"{RESULTS}/logs/reference/index_new_contigs.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/index_new_contigs.tsv"


use rule search_contigs as search_new_contigs with:
    input:
        contigs=f"{NEW}/reference/community/contigs.fna.gz",
        index=f"{NEW}/reference/contigs.parquet",
        database=f"{RESULTS}/reference/database",
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        labels=f"{NEW}/labels/labels.parquet",
        hits=f"{NEW}/labels/hits.parquet",
        tsv=f"{NEW}/labels/labels.tsv",
        summary=f"{NEW}/labels/summary.json",
    log:
        f"{RESULTS}/logs/labels/search_new_contigs.log",
    benchmark:
        f"{RESULTS}/benchmarks/labels/search_new_contigs.tsv"


rule predict_new_contigs:
    input:
        model=lambda wildcards: f"{RESULTS}/student/{NEW_STUDENTS[wildcards.model]}.seed{wildcards.seed}/model",
        contigs=f"{NEW}/reference/community/contigs.fna.gz",
        index=f"{NEW}/reference/contigs.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        hits=lambda wildcards: NEW_HITS[wildcards.model],
    output:
        f"{NEW}/student/{{model}}.seed{{seed}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/student/predict_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model="|".join(NEW_STUDENTS),
        seed=r"\d+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student predict",
            attempt,
            input.index,
            f"{input.model}/label_tree.tsv",
            input.hits,
        ),
        runtime=30,
    params:
        hits=lambda wildcards: options(**{SEARCH: NEW_HITS[wildcards.model]}),
        settings=options(**select_settings(STUDENT, AcceptanceSettings)),
    shell:
        "python -m genestill student predict --model {input.model:q} --contigs {input.contigs:q}"
        " --index {input.index:q} --taxonomy {input.taxonomy:q} {params.hits} {params.settings}"
        " --output {output:q} 2> {log:q}"


use rule run_kraken2 as run_kraken2_of_size with:
    input:
        contigs=f"{NEW}/reference/community/contigs.fna.gz",
        index=f"{NEW}/reference/contigs.parquet",
        genomes=GENOMES,
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        f"{NEW}/evaluation/peers/{{model}}.parquet",
    log:
        f"{RESULTS}/logs/evaluation/run_new_{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_new_{{model}}.tsv"
    wildcard_constraints:
        model="|".join(KRAKEN2_OF_SIZE),
    params:
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
        settings=lambda wildcards: options(
            megabytes=KRAKEN2_OF_SIZE[wildcards.model][0]
        ),


use rule call_peer as call_kraken2_of_size with:
    input:
        kraken2=f"{NEW}/evaluation/peers/{{model}}.parquet",
        index=f"{NEW}/reference/contigs.parquet",
        labels=f"{NEW}/labels/labels.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        thresholds=[],
    output:
        predictions=f"{NEW}/student/{{model}}.seed{{seed}}/predictions.parquet",
        labels=f"{NEW}/student/{{model}}.seed{{seed}}/labels.tsv",
    log:
        f"{RESULTS}/logs/student/call_new_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/new_{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model="|".join(KRAKEN2_OF_SIZE),
        seed=r"\d+",
    params:
        name=lambda wildcards: f"kraken2-at{KRAKEN2_OF_SIZE[wildcards.model][1]}",
        evidence=lambda wildcards, input: options(kraken2=input.kraken2),
        thresholds="",


NEW_RUNS = [
    (model, seed) for model, seeds in NEW_MODELS.items() for seed in range(1, seeds + 1)
]


use rule benchmark_community as benchmark_new_community with:
    input:
        truth=f"{NEW}/reference/truth.parquet",
        labels=f"{NEW}/labels/labels.parquet",
        predictions=predictions_of_runs(NEW_RUNS, NEW),
        abundance=f"{NEW}/reference/abundance.parquet",
    output:
        metrics=f"{RESULTS}/evaluation/new_benchmark.parquet",
        outcome_counts=f"{RESULTS}/evaluation/new_outcome_counts.parquet",
    log:
        f"{RESULTS}/logs/evaluation/benchmark_new_community.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/benchmark_new_community.tsv"
    params:
        predictions=compared(NEW_RUNS, NEW),
        # The labels of new contigs are always from MMseqs2.
        options=options(
            dataset=config["dataset"]["name"],
            seed=config["seed"],
            resamples=config["evaluation"]["resamples"],
        ),
