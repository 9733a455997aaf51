# The models that the taxonomy benchmark compares on one community: the corrector, its ablations, and its peers, each
# with a name and a seed. These rules are not needed for the main recipe.

from genestill.evaluation.contig_peers.registry import PEERS as CONTIG_PEERS
from genestill.evaluation.contig_peers.registry import KRAKEN2_OF_SIZE
from genestill.evaluation.contig_peers.registry import TRAINED as TRAINED_PEERS
from genestill.evaluation.contig_peers.registry import leave_out, peer_at
from genestill.student.corrector.settings import PUBLISHED_THRESHOLD, published_variant

# Corrector -> number of fragments per genome in its training, in addition to the contigs.
FRAGMENTS = {"corrector-fragments": 60}
# Ablation -> the inputs that are removed.
ABLATIONS = {
    "corrector-fragments": set(),
    "corrector": set(),
    "corrector-no-teacher": {"teacher"},
    "corrector-no-neighbours": {"neighbours"},
    "corrector-own-evidence": {"teacher", "neighbours"},
    "corrector-no-nucleotides": {"alignments"},
    "corrector-labels-only": set(EVIDENCE),
}
# Model -> its kind in tables; models that are not listed are controls.
KIND_OF_MODEL = dict.fromkeys(
    [*CONTIG_PEERS, *TRAINED_PEERS, *KRAKEN2_OF_SIZE], "peer"
) | {
    "corrector": "student",
    "corrector-alone": "student",
    "corrector-searched": "student",
    "corrector-fragments-alone": "student",
    "teacher-head": "teacher",
    "taxdistill-published": "peer",
}
# By name, which may end in other settings, for example -alpha0.5-temperature2.
PUBLISHED = {
    "taxdistill-published": "embeddings",
    "taxdistill-no-teacher": "none",
    "taxdistill-self": "self",
}
PUBLISHED_MODEL = rf"({'|'.join(PUBLISHED)})(-alpha[0-9.]+)?(-temperature[0-9.]+)?"


use rule train_corrector as train_ablation with:
    input:
        unpack(evidence_unless_ablated),
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        tree=f"{RESULTS}/labels/label_tree.tsv",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        soft_labels=lambda wildcards: unless_ablated(
            wildcards, "teacher", f"{TEACHER}/soft_labels.parquet"
        ),
        embeddings=lambda wildcards: unless_ablated(wildcards, "teacher", SHARDS),
        genomes=lambda wildcards: GENOMES if fragments_of(wildcards.model) else [],
    output:
        model=directory(f"{RESULTS}/student/{{model}}.seed{{seed}}/model"),
        probabilities=f"{RESULTS}/student/{{model}}.seed{{seed}}/probabilities.parquet",
        embeddings=f"{RESULTS}/student/{{model}}.seed{{seed}}/embeddings.parquet",
    log:
        f"{RESULTS}/logs/student/train_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model="|".join(ABLATIONS),
        seed=r"\d+",
    params:
        evidence=evidence_options,
        soft_labels=lambda wildcards, input: options(soft_labels=input.soft_labels),
        genomes=genomes_of_fragments,
        settings=lambda wildcards: options(
            **(
                select_settings(STUDENT, CorrectorSettings)
                | {
                    "neighbours": "neighbours" not in ABLATIONS[wildcards.model],
                    "fragments": fragments_of(wildcards.model),
                }
            )
        ),
        seed=lambda wildcards: wildcards.seed,


rule build_published_tree:
    input:
        labels=f"{RESULTS}/labels/labels.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        f"{RESULTS}/labels/label_tree_published.tsv",
    log:
        f"{RESULTS}/logs/labels/build_published_tree.log",
    benchmark:
        f"{RESULTS}/benchmarks/labels/build_published_tree.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "labels tree", attempt, input.labels, f"{input.taxonomy}/lineages.tsv"
        ),
        runtime=30,
    shell:
        "python -m genestill labels tree --taxonomy {input.taxonomy:q} --labels {input.labels:q} --output {output:q}"
        " 2> {log:q}"


use rule train_published_corrector as train_published_corrector_control with:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        tree=f"{RESULTS}/labels/label_tree_published.tsv",
        embeddings=lambda wildcards: (
            f"{TEACHER}/published.parquet"
            if PUBLISHED[published_variant(wildcards.model)[0]] == "embeddings"
            else []
        ),
    output:
        probabilities=f"{RESULTS}/student/{{model}}.seed{{seed}}/probabilities.parquet",
    log:
        f"{RESULTS}/logs/student/train_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model=PUBLISHED_MODEL,
        seed=r"\d+",
    params:
        # The published settings are the defaults of the command.
        settings=lambda wildcards: options(
            teacher=PUBLISHED[published_variant(wildcards.model)[0]],
            **published_variant(wildcards.model)[1],
        ),
        seed=lambda wildcards: wildcards.seed,


use rule accept_names as accept_names_of_compared with:
    input:
        f"{RESULTS}/student/{{model}}.seed{{seed}}/probabilities.parquet",
    output:
        f"{RESULTS}/student/{{model}}.seed{{seed}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/student/accept_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/accept_{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model=rf"{'|'.join(ABLATIONS)}|{PUBLISHED_MODEL}",
        seed=r"\d+",
    params:
        settings=lambda wildcards: options(
            threshold=(
                STUDENT["threshold"]
                if wildcards.model in ABLATIONS
                else PUBLISHED_THRESHOLD
            )
        ),


use rule make_soft_labels as make_soft_labels_alone with:
    output:
        soft_labels=f"{RESULTS}/student/teacher-head.seed{{seed}}/soft_labels.parquet",
        predictions=f"{RESULTS}/student/teacher-head.seed{{seed}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/student/train_teacher-head.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/teacher-head.seed{{seed}}.tsv"
    wildcard_constraints:
        seed=r"\d+",
    params:
        folds=5,
        seed=lambda wildcards: wildcards.seed,
        device=device,
        predictions=lambda wildcards, output: options(
            output_predictions=output.predictions
        ),


# Taxometer -> its input labels.
TAXOMETER = {
    "taxometer": f"{RESULTS}/labels/labels.tsv",
    "taxometer-kraken2": f"{RESULTS}/student/kraken2.seed1/labels.tsv",
}


rule run_taxometer:
    input:
        environment=peer_environment("vamb"),
        contigs=CONTIGS,
        abundance=f"{RESULTS}/reference/abundance.tsv",
        labels=lambda wildcards: TAXOMETER[wildcards.model],
    output:
        folder=directory(f"{RESULTS}/student/{{model}}.seed{{seed}}/vamb"),
    log:
        f"{RESULTS}/logs/student/run_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model="|".join(TAXOMETER),
        seed=r"\d+",
    conda:
        "../../envs/vamb.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        program=peer_program("vamb", "vamb"),
        minimum_length=config["dataset"]["minimum_length"],
    shell:
        "{params.program:q} taxometer --outdir {output.folder:q} --fasta {input.contigs:q}"
        " --abundance_tsv {input.abundance:q} --taxonomy {input.labels:q} -m {params.minimum_length:q}"
        " -p {threads} --seed {wildcards.seed:q} > {log:q} 2>&1"


rule import_taxometer:
    input:
        folder=f"{RESULTS}/student/{{model}}.seed{{seed}}/vamb",
        index=f"{RESULTS}/reference/contigs.parquet",
    output:
        f"{RESULTS}/student/{{model}}.seed{{seed}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/student/import_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/import_{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model="|".join(TAXOMETER),
        seed=r"\d+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    shell:
        "python -m genestill evaluation import-predictions --predictions {input.folder:q}/results_taxometer.tsv"
        " --format taxometer --contigs {input.index:q} --output {output:q} 2> {log:q}"


# Evidence of peers -> the file for `evaluation peer`. Alignments need genomes.
PEER_EVIDENCE = {
    "depth": {"abundance": f"{RESULTS}/reference/abundance.parquet"},
    "alignments": {"alignments": f"{RESULTS}/labels/alignments.parquet"},
    "kraken2": {"kraken2": f"{RESULTS}/evaluation/peers/kraken2.parquet"},
    "genes": {"genes": f"{RESULTS}/evaluation/peers/genes.parquet"},
    "bins": {"bins": f"{RESULTS}/evaluation/peers/vamb.seed{{seed}}"},
    "metabuli": {"metabuli": f"{RESULTS}/evaluation/peers/metabuli.tsv"},
}


rule run_kraken2:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        genomes=GENOMES,
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        f"{RESULTS}/evaluation/peers/kraken2.parquet",
    log:
        f"{RESULTS}/logs/evaluation/run_kraken2.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_kraken2.tsv"
    conda:
        "../../envs/kraken2.yaml"
    # Waiting threads of Kraken 2 use the CPU, so on a busy machine one thread is faster than two.
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
        settings="",
    shell:
        "python -m genestill evaluation kraken2 --contigs {input.contigs:q} --index {input.index:q}"
        " --genomes {input.genomes:q} --genomes-folder {params.genomes_folder:q} --taxonomy {input.taxonomy:q}"
        " {params.settings} --threads {threads} --output {output:q} 2> {log:q}"


rule run_diamond:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        genomes=GENOMES,
        proteins=f"{RESULTS}/reference/proteins/summary.json",
    output:
        f"{RESULTS}/evaluation/peers/genes.parquet",
    log:
        f"{RESULTS}/logs/evaluation/run_diamond.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_diamond.tsv"
    conda:
        "../../envs/diamond.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        proteins=lambda wildcards, input: Path(input.proteins).parent,
    shell:
        "python -m genestill evaluation diamond --contigs {input.contigs:q} --index {input.index:q}"
        " --genomes {input.genomes:q} --proteins {params.proteins:q} --threads {threads} --output {output:q} 2> {log:q}"


rule run_metabuli:
    input:
        contigs=CONTIGS,
        genomes=GENOMES,
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        f"{RESULTS}/evaluation/peers/metabuli.tsv",
    log:
        f"{RESULTS}/logs/evaluation/run_metabuli.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_metabuli.tsv"
    conda:
        "../../envs/metabuli.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 10000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
    shell:
        "python -m genestill evaluation metabuli --contigs {input.contigs:q} --genomes {input.genomes:q}"
        " --genomes-folder {params.genomes_folder:q} --taxonomy {input.taxonomy:q} --threads {threads}"
        " --output {output:q} 2> {log:q}"


rule run_vamb:
    input:
        environment=peer_environment("vamb"),
        contigs=CONTIGS,
        abundance=f"{RESULTS}/reference/abundance.tsv",
    output:
        folder=directory(f"{RESULTS}/evaluation/peers/vamb.seed{{seed}}"),
    log:
        f"{RESULTS}/logs/evaluation/run_vamb.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_vamb.seed{{seed}}.tsv"
    wildcard_constraints:
        seed=r"\d+",
    conda:
        "../../envs/vamb.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
    params:
        program=peer_program("vamb", "vamb"),
        minimum_length=config["dataset"]["minimum_length"],
    shell:
        "{params.program:q} bin default --outdir {output.folder:q} --fasta {input.contigs:q}"
        " --abundance_tsv {input.abundance:q} -m {params.minimum_length:q} -o '' -p {threads}"
        " --seed {wildcards.seed:q} > {log:q} 2>&1"


rule call_peer:
    input:
        unpack(peer_evidence),
        index=f"{RESULTS}/reference/contigs.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        thresholds=config["evaluation"]["thresholds"] or [],
    output:
        predictions=f"{RESULTS}/student/{{model}}.seed{{seed}}/predictions.parquet",
        labels=f"{RESULTS}/student/{{model}}.seed{{seed}}/labels.tsv",
    log:
        f"{RESULTS}/logs/student/call_{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model=rf"({'|'.join(CONTIG_PEERS)})(-at[0-9.]+)?",
        seed=r"\d+",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        name=lambda wildcards: wildcards.model,
        evidence=lambda wildcards: options(**peer_evidence(wildcards)),
        thresholds=lambda wildcards, input: options(thresholds=input.thresholds),
    shell:
        "python -m genestill evaluation peer --name {params.name:q} --index {input.index:q}"
        " --labels {input.labels:q} --taxonomy {input.taxonomy:q} {params.evidence} {params.thresholds}"
        " --output {output.predictions:q} --output-tsv {output.labels:q} 2> {log:q}"


# Peers that cannot run here; with conda, all programs are available.
LEFT_OUT = leave_out(
    config["evaluation"]["benchmark"],
    programs_known=WITH_CONDA,
    genomes_known=bool(GENOMES),
)

# The numbers of seeds per model are set in the configuration of the benchmark.
BENCHMARK_RUNS = [
    (model, seed)
    for model, seeds in config["evaluation"]["benchmark"].items()
    for seed in range(1, seeds + 1)
    if model not in LEFT_OUT
]


rule benchmark_community:
    input:
        truth=f"{RESULTS}/reference/truth.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        predictions=predictions_of_runs(BENCHMARK_RUNS),
        abundance=f"{RESULTS}/reference/abundance.parquet",
    output:
        metrics=f"{RESULTS}/evaluation/benchmark.parquet",
        outcome_counts=f"{RESULTS}/evaluation/outcome_counts.parquet",
    log:
        f"{RESULTS}/logs/evaluation/benchmark_community.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/benchmark_community.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=120,
    params:
        predictions=compared(BENCHMARK_RUNS),
        options=options(
            labels_name=LABELS_NAME,
            dataset=config["dataset"]["name"],
            seed=config["seed"],
            resamples=config["evaluation"]["resamples"],
        ),
    shell:
        "python -m genestill evaluation taxonomy --truth {input.truth:q} --labels {input.labels:q}"
        " {params.predictions} --abundance {input.abundance:q} {params.options} --output {output.metrics:q}"
        " --output-outcome-counts {output.outcome_counts:q} 2> {log:q}"


# AMBER scores the first run of each of these.
AMBER_RUNS = [
    (model, 1)
    for model in ("corrector", "taxdistill-published", "taxometer")
    if config["evaluation"]["benchmark"].get(model)
]
AMBER_MODELS = [LABELS_NAME, *(model for model, _ in AMBER_RUNS)]


use rule write_amber_input as write_benchmark_amber_input with:
    input:
        truth=f"{RESULTS}/reference/truth.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        predictions=predictions_of_runs(AMBER_RUNS),
    output:
        directory(f"{RESULTS}/evaluation/benchmark_amber/input"),
    log:
        f"{RESULTS}/logs/evaluation/write_benchmark_amber_input.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/write_benchmark_amber_input.tsv"
    params:
        compared=" ".join(
            [
                options(
                    truth=f"{RESULTS}/reference/truth.parquet",
                    labels=f"{RESULTS}/labels/labels.parquet",
                    labels_name=LABELS_NAME,
                ),
                compared(AMBER_RUNS),
            ]
        ),


use rule run_amber as run_benchmark_amber with:
    input:
        tables=f"{RESULTS}/evaluation/benchmark_amber/input",
        environment=peer_environment("amber"),
    output:
        directory(f"{RESULTS}/evaluation/benchmark_amber/output"),
    log:
        f"{RESULTS}/logs/evaluation/run_benchmark_amber.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_benchmark_amber.tsv"
    params:
        program=peer_program("amber", "amber.py"),
        names=",".join(AMBER_MODELS),
        binnings=[
            f"{RESULTS}/evaluation/benchmark_amber/input/{name}.binning"
            for name in AMBER_MODELS
        ],
        options="",


use rule compare_with_amber as compare_benchmark_with_amber with:
    input:
        results=f"{RESULTS}/evaluation/benchmark_amber/output",
        metrics=f"{RESULTS}/evaluation/benchmark.parquet",
    output:
        f"{RESULTS}/evaluation/benchmark_amber.tsv",
    log:
        f"{RESULTS}/logs/evaluation/compare_benchmark_with_amber.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/compare_benchmark_with_amber.tsv"
    params:
        models=AMBER_MODELS,
        seed="--seed 1",


# Way of classifying the contigs of a new community -> its corrector.
NEW_STUDENTS = {
    "corrector-alone": "corrector",
    "corrector-searched": "corrector",
    "corrector-fragments-alone": "corrector-fragments",
}
# The same, and Kraken 2 with databases of several sizes -> number of seeds.
NEW_MODELS = {
    model: seeds
    for model, student in NEW_STUDENTS.items()
    if (seeds := config["evaluation"]["benchmark"].get(student, 0))
}
if "kraken2" in config["evaluation"]["benchmark"] and "kraken2" not in LEFT_OUT:
    NEW_MODELS |= dict.fromkeys(KRAKEN2_OF_SIZE, 1)


# New contigs are cut from the same genomes as this community.
if MAKES_COMMUNITY and not ASSEMBLED:

    include: "new_community.smk"
