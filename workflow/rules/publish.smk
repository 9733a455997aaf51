# Publishing of results: snakemake publish --configfile … writes the results of the run into resources/results/.


localrules:
    publish,
    publish_predictions,
    publish_virtual,


PUBLISHED_AS = (
    Path(workflow.overwrite_configfiles[-1]).stem
    if workflow.overwrite_configfiles
    else "config"
)
PUBLISHED_METRICS = {
    "taxdistill": [
        f"{EVALUATION}/metrics.parquet",
        *(
            [f"{EVALUATION}/novelty/metrics.parquet"]
            if TRUTH and WITH_LEDGER and not ONLY_SCORES
            else []
        ),
    ],
    "mrna": f"{MRNA_TABLE}/metrics.parquet",
    "had": f"{DNA_SCORES}/metrics.parquet",
    "seqlens": f"{DNA_SCORES}/metrics.parquet",
}[target_of(config["recipe"])]
PUBLISHED_TEACHER = (
    config["teacher"]["name"]
    if asked_of_teacher(config) and not ONLY_SCORES
    else "none"
)
PUBLISHED_COUNTS = []
if config["benchmark"]["communities"]:
    PUBLISHED_METRICS = expand(
        "{folder}/evaluation/benchmark.parquet", folder=COMMUNITY_RESULTS.values()
    )
    PUBLISHED_COUNTS = expand(
        "{folder}/evaluation/outcome_counts.parquet", folder=COMMUNITY_RESULTS.values()
    )
# Predictions that are published as soon as they are made.
PREDICTIONS = (
    DNA_PREDICTIONS if target_of(config["recipe"]) in ("had", "seqlens") else []
)
# Snakemake's benchmark files of the steps that make a model.
PUBLISHED_COSTS = (
    []
    if ONLY_SCORES
    or config["benchmark"]["communities"]
    or target_of(config["recipe"]) != "taxdistill"
    else [
        f"{STUDENT_NAME}={RESULTS}/benchmarks/student/train_{STUDENT_NAME}.tsv",
        *(
            []
            if IMPORTED_LABELS
            else [f"{LABELS_NAME}={RESULTS}/benchmarks/labels/{SEARCH_STEP}.tsv"]
        ),
    ]
)


rule publish_predictions:
    input:
        f"{RESULTS}/{{predictions}}",
    output:
        PUBLISHED_PREDICTIONS / "{predictions}",
    log:
        f"{RESULTS}/logs/evaluation/publish_predictions/{{predictions}}.log",
    # A published table has no rule, so neither the table nor its models are made again.
    wildcard_constraints:
        predictions="|".join(
            re.escape(str(Path(file).relative_to(RESULTS)))
            for file in PREDICTIONS
            if not Path(published_copy(file)).exists()
        )
        or "(?!)",
    priority: 1
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=5,
    shell:
        # A copy that exists has no rule, so an incomplete one would not be made again.
        "(cp {input:q} {output:q}.part && mv {output:q}.part {output:q}) 2> {log:q}"


rule publish:
    input:
        unpack(unpublished),
    log:
        f"{RESULTS}/logs/evaluation/publish.log",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    params:
        configuration=f"{RESULTS}/configuration.yaml",
        name=PUBLISHED_AS,
        teacher=PUBLISHED_TEACHER,
        costs=(
            costs(COSTLY_MODELS, COMMUNITIES, apart=True)
            if config["benchmark"]["communities"]
            else options(cost=PUBLISHED_COSTS)
        ),
        benchmark=(
            options(benchmark=True, compared_with=config["student"]["name"])
            if config["benchmark"]["communities"]
            else ""
        ),
        results=ROOT / "resources" / "results",
    shell:
        "python -m genestill evaluation publish --metrics {input.metrics:q} --configuration {params.configuration:q}"
        " --name {params.name:q} --teacher {params.teacher:q} {params.costs} {params.benchmark}"
        " --outcome-counts {input.outcome_counts:q} --results {params.results:q} 2> {log:q}"


rule publish_virtual:
    input:
        metrics=f"{RESULTS}/evaluation/virtual_metrics.parquet",
    log:
        f"{RESULTS}/logs/evaluation/publish_virtual.log",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    params:
        configuration=f"{RESULTS}/configuration.yaml",
        name=PUBLISHED_AS,
        results=ROOT / "resources" / "results",
    shell:
        "python -m genestill evaluation publish --metrics {input.metrics:q} --configuration {params.configuration:q}"
        " --name {params.name:q} --teacher none --results {params.results:q} 2> {log:q}"
