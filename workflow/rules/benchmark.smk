# One target over several communities: each is a whole run of the workflow, with its own configuration merged over that
# of the benchmark.

from genestill.evaluation.published_figures import published_communities

COMMUNITIES = config["benchmark"]["communities"]
COMMUNITY_RESULTS = {name: f"results/{config['recipe']}/{name}" for name in COMMUNITIES}
# New contigs are cut from the same genomes, so they are only possible for communities that are made by the workflow.
MADE = [
    name
    for name, differences in COMMUNITIES.items()
    if not differences.get("dataset", {}).get("contigs")
    and not differences.get("reference", {}).get("assembled")
]
SIMULATED = [
    name
    for name, differences in COMMUNITIES.items()
    if differences.get("reference", {}).get("simulated_genomes")
]
RUNS_OF_MODEL = {
    model: seeds
    for model, seeds in config["evaluation"]["benchmark"].items()
    if model not in LEFT_OUT
}
# The cost of a peer is that of its program; the rule that converts the output of the program takes a second or two.
COST_OF_PEER = {
    LABELS_NAME: "labels/search_contigs",
    "kraken2": "evaluation/run_kraken2",
    "minimap2": "labels/align_contigs",
    "bag-rule": "labels/align_contigs",
    "cat-rule": "evaluation/run_diamond",
    "vamb-bins": "evaluation/run_vamb.seed{seed}",
    "metabuli": "evaluation/run_metabuli",
} | {model: f"evaluation/run_new_{model}" for model in KRAKEN2_OF_SIZE}
# Figure -> its section and name in the report.
BENCHMARK_FIGURES = {
    "species_f1": ("Accuracy", "F1 at species in each community"),
    "absent_and_known": (
        "Accuracy",
        "Species absent from the reference and known ones",
    ),
    "risk_coverage": (
        "Accuracy",
        "Share of wrong names by share of contigs named",
    ),
    "cost": ("Cost", "Time and memory of one run"),
}

for community, differences in COMMUNITIES.items():
    prefix = f"{community}_"

    module:
        name: community
        snakefile:
            "../Snakefile"
        config:
            community_configuration(community, differences)

    use rule * from community exclude peer_environment, fetch_cami2, fetch_database, fetch_genomes, fetch_regions, fetch_transcript_file, make_transcript_tables, cut_published_contigs, unpack_cami2_contigs, unpack_cami2_reads, unpack_cami2_taxonomy, gather_cami2, measure_cami2_depth, merge_cami2_depths as prefix*


# Models of the benchmark, and the steps that make the labels for all of them -> number of seeds.
COSTLY_MODELS = RUNS_OF_MODEL | (
    {LABELS_NAME: 1} if RUNS_OF_MODEL and not IMPORTED_LABELS else {}
)


def costs(models, communities, apart=False):
    """Options with Snakemake's benchmark files of every run of ``models`` (model -> number of seeds).

    With ``apart`` they contain the community too.
    """
    return " ".join(
        options(
            cost=(f"{model}@{community}" if apart else model)
            + f"={COMMUNITY_RESULTS[community]}/benchmarks/"
            + COST_OF_PEER.get(peer_at(model)[0], f"student/{model}.seed{seed}").format(
                seed=seed
            )
            + ".tsv"
        )
        for community in communities
        for model, seeds in models.items()
        for seed in range(1, seeds + 1)
    )


# Communities for which the authors of a method published results.
PUBLISHED_FIGURES = ROOT / "resources" / "published" / "taxdistill.tsv"
PUBLISHED_COMPARISON = (
    f"{RESULTS}/evaluation/published_comparison.tsv"
    if published_communities(PUBLISHED_FIGURES) & set(COMMUNITIES)
    else []
)


rule compare_with_published:
    input:
        metrics=[
            f"{folder}/evaluation/benchmark.parquet"
            for folder in COMMUNITY_RESULTS.values()
        ],
        published=PUBLISHED_FIGURES,
    output:
        f"{RESULTS}/evaluation/published_comparison.tsv",
    log:
        f"{RESULTS}/logs/evaluation/compare_with_published.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/compare_with_published.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    shell:
        "python -m genestill evaluation published-comparison --metrics {input.metrics:q} --published {input.published:q}"
        " --output {output:q} 2> {log:q}"


rule compare_communities:
    input:
        metrics=[
            f"{folder}/evaluation/benchmark.parquet"
            for folder in COMMUNITY_RESULTS.values()
        ],
        outcome_counts=[
            f"{folder}/evaluation/outcome_counts.parquet"
            for folder in COMMUNITY_RESULTS.values()
        ],
        amber=[
            f"{folder}/evaluation/benchmark_amber.tsv"
            for folder in COMMUNITY_RESULTS.values()
            if config["evaluation"]["amber"]
        ],
        new=f"{RESULTS}/evaluation/new_table.txt" if MADE else [],
        published=PUBLISHED_COMPARISON,
    output:
        metrics=f"{RESULTS}/evaluation/metrics.parquet",
        comparison=report(
            f"{RESULTS}/evaluation/comparison.tsv",
            caption="../report/benchmark.rst",
            category=BENCHMARK_SECTIONS["Answer"],
            labels={"shows": "Every score with its interval (table)"},
        ),
        table=f"{RESULTS}/evaluation/table.txt",
        page=report(
            f"{RESULTS}/evaluation/table.html",
            caption="../report/benchmark.rst",
            category=BENCHMARK_SECTIONS["Answer"],
            labels={"shows": "All models, by F1 at species"},
        ),
        figures=[
            report(
                f"{RESULTS}/evaluation/figures/benchmark_{figure}.svg",
                caption=f"../report/benchmark_{figure}.rst",
                category=BENCHMARK_SECTIONS[section],
                labels={"shows": name},
            )
            for figure, (section, name) in BENCHMARK_FIGURES.items()
        ],
    log:
        f"{RESULTS}/logs/evaluation/compare_communities.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/compare_communities.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
    params:
        costs=costs(COSTLY_MODELS, COMMUNITIES),
        simulated=options(simulated=SIMULATED),
        ours=config["student"]["name"],
        seed=config["seed"],
        resamples=config["evaluation"]["resamples"],
        figures=lambda wildcards, output: Path(output.figures[0]).parent,
    shell:
        "python -m genestill evaluation benchmark --metrics {input.metrics:q} --outcome-counts {input.outcome_counts:q}"
        " {params.costs} --compared-with {params.ours:q} {params.simulated} --seed {params.seed:q}"
        " --resamples {params.resamples:q} --output {output.metrics:q}"
        " --output-comparison {output.comparison:q} --output-table {output.table:q}"
        " --output-figures {params.figures:q} 2> {log:q}"


# The first page of the report.
rule summarise_benchmark:
    input:
        metrics=f"{RESULTS}/evaluation/metrics.parquet",
        comparison=f"{RESULTS}/evaluation/comparison.tsv",
        picture=f"{RESULTS}/evaluation/figures/benchmark_species_f1.svg",
    output:
        report(
            f"{RESULTS}/evaluation/summary.html",
            caption="../report/summary.rst",
            category=BENCHMARK_SECTIONS["Answer"],
            labels={"shows": "What the correctors reached"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/summarise_benchmark.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/summarise_benchmark.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        run=SUMMARY,
        student=config["student"]["name"],
        downloads=lambda wildcards, input: downloads(
            every_score_with_its_interval=input.comparison
        ),
    shell:
        "python -m genestill evaluation summary {params.run} --student {params.student:q}"
        " --metrics {input.metrics:q} --comparison {input.comparison:q} --picture {input.picture:q} {params.downloads}"
        " --output {output:q} 2> {log:q}"


localrules:
    benchmark_taxonomy,


rule benchmark_taxonomy:
    input:
        rules.compare_communities.output,
        rules.summarise_benchmark.output,


rule benchmark_new_contigs:
    input:
        metrics=[
            f"{COMMUNITY_RESULTS[name]}/evaluation/new_benchmark.parquet"
            for name in MADE
        ],
        outcome_counts=[
            f"{COMMUNITY_RESULTS[name]}/evaluation/new_outcome_counts.parquet"
            for name in MADE
        ],
    output:
        metrics=f"{RESULTS}/evaluation/new_metrics.parquet",
        comparison=f"{RESULTS}/evaluation/new_comparison.tsv",
        table=f"{RESULTS}/evaluation/new_table.txt",
        page=report(
            f"{RESULTS}/evaluation/new_table.html",
            caption="../report/benchmark_new.rst",
            category=BENCHMARK_SECTIONS["New contigs"],
            labels={"shows": "Students on contigs of new communities"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/benchmark_new_contigs.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/benchmark_new_contigs.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
    params:
        costs=" ".join(
            [costs(NEW_MODELS, MADE)]
            + [
                options(
                    cost=f"MMseqs2={COMMUNITY_RESULTS[name]}/benchmarks/labels/search_new_contigs.tsv"
                )
                for name in MADE
            ]
        ),
        simulated=options(simulated=SIMULATED),
        seed=config["seed"],
        resamples=config["evaluation"]["resamples"],
    shell:
        "python -m genestill evaluation benchmark --metrics {input.metrics:q} --outcome-counts {input.outcome_counts:q}"
        " {params.costs} --compared-with corrector-alone {params.simulated} --seed {params.seed:q}"
        " --resamples {params.resamples:q} --output {output.metrics:q} --output-comparison {output.comparison:q} --output-table {output.table:q} 2> {log:q}"


# Communities with only a truth and predictions: their binning metrics, with those of AMBER and published ones.
BINNING_FOLDERS = {
    name: f"{folder}/evaluation/imported" for name, folder in COMMUNITY_RESULTS.items()
}
PUBLISHED_BINNINGS = {
    name: differences["evaluation"]["published"]
    for name, differences in COMMUNITIES.items()
    if differences.get("evaluation", {}).get("published")
}


rule benchmark_binning:
    input:
        ours=[f"{folder}/binning.tsv" for folder in BINNING_FOLDERS.values()],
        amber=(
            [f"{folder}/amber/binnings" for folder in BINNING_FOLDERS.values()]
            if config["evaluation"]["amber"]
            else []
        ),
        published=list(PUBLISHED_BINNINGS.values()),
    output:
        report(
            f"{RESULTS}/evaluation/binning_comparison.tsv",
            caption="../report/binning.rst",
            category=BENCHMARK_SECTIONS["Answer"],
            labels={
                "shows": "Binning metrics beside AMBER's and published ones (table)"
            },
        ),
    log:
        f"{RESULTS}/logs/evaluation/benchmark_binning.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/benchmark_binning.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        tables=options(
            metrics=[
                f"{name}={folder}/binning.tsv"
                for name, folder in BINNING_FOLDERS.items()
            ],
            amber=(
                [
                    f"{name}={folder}/amber/binnings/results.tsv"
                    for name, folder in BINNING_FOLDERS.items()
                ]
                if config["evaluation"]["amber"]
                else []
            ),
            published=[f"{name}={file}" for name, file in PUBLISHED_BINNINGS.items()],
        ),
    shell:
        "python -m genestill evaluation binning-comparison {params.tables} --output {output:q} 2> {log:q}"
