# Virtual references: each community is searched once, and clades are withheld from the results. Thresholds of peers are
# chosen with one half of them; peers and correctors are compared with the other half.

from genestill.evaluation.contig_peers.registry import missing_evidence
from genestill.evaluation.settings import Kraken2ReferenceSettings
from genestill.reference.settings import WithheldSettings
from genestill.student.corrector.settings import (
    EvidenceSettings,
    VirtualTrainingSettings,
)

VIRTUAL = f"{RESULTS}/labels/virtual"
VIRTUAL_COMMUNITIES = virtual_communities()
WITHHELD = config["reference"]["withheld"] or f"{RESULTS}/reference/withheld.tsv"
CHOSEN_THRESHOLDS = (
    config["evaluation"]["thresholds"] or f"{RESULTS}/evaluation/virtual_thresholds.tsv"
)
VIRTUAL_COUNTS = {
    models: [
        f"{folder}/evaluation/virtual_{models}.parquet"
        for folder, _ in VIRTUAL_COMMUNITIES.values()
    ]
    for models in ("peers", "correctors")
}
MISSING_EVIDENCE = missing_evidence(
    programs_known=WITH_CONDA, genomes_known=bool(GENOMES)
)
# Evidence that is filtered; Kraken 2 is run again for some references, and bins are used if the benchmark has them.
FILTERED_EVIDENCE = {
    option: file.format(seed=1)
    for need in ("depth", "alignments", "genes", "bins")
    for option, file in PEER_EVIDENCE[need].items()
    if need not in MISSING_EVIDENCE
    and (need != "bins" or "vamb-bins" in config["evaluation"]["benchmark"])
}

if not config["reference"]["withheld"]:

    rule choose_withheld:
        input:
            [table for _, table in VIRTUAL_COMMUNITIES.values()],
        output:
            WITHHELD,
        log:
            f"{RESULTS}/logs/reference/choose_withheld.log",
        benchmark:
            f"{RESULTS}/benchmarks/reference/choose_withheld.tsv"
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=10,
        params:
            genomes=options(
                genomes=[
                    f"{name}={table}"
                    for name, (_, table) in VIRTUAL_COMMUNITIES.items()
                ]
            ),
            settings=options(**select_settings(REFERENCE["virtual"], WithheldSettings)),
            seed=config["seed"],
        shell:
            "python -m genestill reference withheld {params.genomes} {params.settings} --seed {params.seed:q}"
            " --output {output:q} 2> {log:q}"


if not UPDATE_FROM:

    rule keep_search:
        input:
            contigs=CONTIGS,
            index=f"{RESULTS}/reference/contigs.parquet",
            database=f"{RESULTS}/reference/database",
            taxonomy=f"{RESULTS}/reference/taxonomy",
        output:
            directory(f"{RESULTS}/labels/kept"),
        log:
            f"{RESULTS}/logs/labels/keep_search.log",
        benchmark:
            f"{RESULTS}/benchmarks/labels/keep_search.tsv"
        conda:
            "../../envs/mmseqs2.yaml"
        threads: 8
        resources:
            mem_mb=lambda wildcards, attempt: 8000 * attempt,
            runtime=lambda wildcards, attempt: 480 * attempt,
        params:
            settings=options(**select_settings(config["labels"], SearchSettings)),
        shell:
            "python -m genestill labels keep-search --contigs {input.contigs:q} --index {input.index:q}"
            " --database {input.database:q}/proteins --taxonomy {input.taxonomy:q} --threads {threads}"
            " {params.settings} --output {output:q} 2> {log:q}"


rule withhold_clades:
    input:
        search=f"{RESULTS}/labels/kept",
        index=f"{RESULTS}/reference/contigs.parquet",
        database=f"{RESULTS}/reference/database",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        withheld=WITHHELD,
    output:
        # Not the folder: Snakemake would delete it, with the references of an interrupted run.
        f"{VIRTUAL}/references.tsv",
    log:
        f"{RESULTS}/logs/labels/withhold_clades.log",
    benchmark:
        f"{RESULTS}/benchmarks/labels/withhold_clades.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        community=config["dataset"]["name"],
        other_children=(
            "--other-children" if config["student"]["objective"] == "posterior" else ""
        ),
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill labels withhold --search {input.search:q} --index {input.index:q}"
        " --database {input.database:q}/proteins --taxonomy {input.taxonomy:q} --withheld {input.withheld:q}"
        " --community {params.community:q} {params.other_children} --threads {threads} --output {params.folder:q}"
        " 2> {log:q}"


rule run_kraken2_on_virtual_references:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        genomes=GENOMES,
        taxonomy=f"{RESULTS}/reference/taxonomy",
        withheld=WITHHELD,
        references=f"{VIRTUAL}/references.tsv",
    output:
        f"{VIRTUAL}/kraken2.tsv",
    log:
        f"{RESULTS}/logs/evaluation/run_kraken2_on_virtual_references.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_kraken2_on_virtual_references.tsv"
    conda:
        "../../envs/kraken2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
        community=config["dataset"]["name"],
        settings=options(
            **select_settings(
                config["evaluation"]["virtual"], Kraken2ReferenceSettings
            )
        ),
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill evaluation kraken2-virtual --contigs {input.contigs:q} --index {input.index:q}"
        " --genomes {input.genomes:q} --genomes-folder {params.genomes_folder:q} --taxonomy {input.taxonomy:q}"
        " --withheld {input.withheld:q} --community {params.community:q} {params.settings}"
        " --virtual {params.folder:q} --threads {threads} --output {output:q} 2> {log:q}"


rule train_on_virtual_references:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        alignments=lambda wildcards: evidence_tables(wildcards).get("alignments", []),
        taxonomy=f"{RESULTS}/reference/taxonomy",
        withheld=WITHHELD,
        references=f"{VIRTUAL}/references.tsv",
    output:
        f"{VIRTUAL}/correctors.tsv",
    log:
        f"{RESULTS}/logs/student/train_on_virtual_references.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/train_on_virtual_references.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
    params:
        community=config["dataset"]["name"],
        alignments=lambda wildcards, input: options(alignments=input.alignments),
        settings=options(
            **select_settings(STUDENT, EvidenceSettings),
            **select_settings(STUDENT, CorrectorSettings, ["fragments"]),
            **select_settings(STUDENT, AcceptanceSettings),
            **select_settings(
                config["evaluation"]["virtual"], VirtualTrainingSettings
            ),
        ),
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill student train-virtual --contigs {input.contigs:q} --index {input.index:q}"
        " --abundance {input.abundance:q} --taxonomy {input.taxonomy:q} --withheld {input.withheld:q}"
        " --community {params.community:q} --virtual {params.folder:q} {params.settings}"
        " {params.alignments} --output {output:q} 2> {log:q}"


rule score_peers_on_virtual_references:
    input:
        *FILTERED_EVIDENCE.values(),
        index=f"{RESULTS}/reference/contigs.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        truth=f"{RESULTS}/reference/truth.parquet",
        withheld=WITHHELD,
        references=f"{VIRTUAL}/references.tsv",
        kraken2=[] if "kraken2" in MISSING_EVIDENCE else f"{VIRTUAL}/kraken2.tsv",
    output:
        f"{RESULTS}/evaluation/virtual_peers.parquet",
    log:
        f"{RESULTS}/logs/evaluation/score_peers_on_virtual_references.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/score_peers_on_virtual_references.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=120,
    params:
        evidence=options(**FILTERED_EVIDENCE),
        community=config["dataset"]["name"],
        folder=lambda wildcards, input: Path(input.references).parent,
    shell:
        "python -m genestill evaluation peer-scores --index {input.index:q} --labels {input.labels:q}"
        " --taxonomy {input.taxonomy:q} {params.evidence} --truth {input.truth:q} --withheld {input.withheld:q}"
        " --community {params.community:q} --virtual {params.folder:q} --output {output:q} 2> {log:q}"


use rule score_peers_on_virtual_references as score_correctors_on_virtual_references with:
    input:
        index=f"{RESULTS}/reference/contigs.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        truth=f"{RESULTS}/reference/truth.parquet",
        withheld=WITHHELD,
        references=f"{VIRTUAL}/correctors.tsv",
    output:
        f"{RESULTS}/evaluation/virtual_correctors.parquet",
    log:
        f"{RESULTS}/logs/evaluation/score_correctors_on_virtual_references.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/score_correctors_on_virtual_references.tsv"
    params:
        evidence="--models corrector",
        community=config["dataset"]["name"],
        folder=lambda wildcards, input: Path(input.references).parent,


if not config["evaluation"]["thresholds"]:

    rule choose_thresholds:
        input:
            VIRTUAL_COUNTS["peers"],
        output:
            CHOSEN_THRESHOLDS,
        log:
            f"{RESULTS}/logs/evaluation/choose_thresholds.log",
        benchmark:
            f"{RESULTS}/benchmarks/evaluation/choose_thresholds.tsv"
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=10,
        shell:
            "python -m genestill evaluation peer-thresholds --scores {input:q} --output {output:q} 2> {log:q}"


rule benchmark_virtual:
    input:
        peers=VIRTUAL_COUNTS["peers"],
        correctors=(
            VIRTUAL_COUNTS["correctors"]
            if config["evaluation"]["virtual"]["corrector_seeds"]
            else []
        ),
        thresholds=CHOSEN_THRESHOLDS,
    output:
        f"{RESULTS}/evaluation/virtual_metrics.parquet",
    log:
        f"{RESULTS}/logs/evaluation/benchmark_virtual.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/benchmark_virtual.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=30,
    params:
        # A separate name, because the results differ from those of the community.
        dataset=f"{config['dataset']['name']}-virtual",
        seed=config["seed"],
    shell:
        "python -m genestill evaluation judge-virtual --scores {input.peers:q} {input.correctors:q}"
        " --thresholds {input.thresholds:q} --dataset {params.dataset:q} --seed {params.seed:q} --output {output:q}"
        " 2> {log:q}"
