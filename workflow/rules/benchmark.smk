# One target over several communities: each is a whole run of the workflow with a configuration of its own, laid over
# the benchmark's.

COMMUNITIES = config["benchmark"]["communities"]

for community, differences in COMMUNITIES.items():
    prefix = f"{community}_"

    module:
        name: community
        snakefile:
            "../Snakefile"
        config:
            community_configuration(config, community, differences)

    use rule * from community exclude peer_environment as prefix*


rule benchmark_taxonomy:
    input:
        metrics=[
            f"results/{config['recipe']}/{community}/evaluation/benchmark.parquet"
            for community in COMMUNITIES
        ],
    output:
        metrics=f"{RESULTS}/evaluation/metrics.parquet",
        table=report(
            f"{RESULTS}/evaluation/table.txt",
            caption="../report/benchmark.rst",
            category="1. Answer",
            labels={"shows": "correctors over several communities"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/benchmark_taxonomy.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/benchmark_taxonomy.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        costs=" ".join(
            f"--cost {model}=results/{config['recipe']}/{community}/benchmarks/student/{model}-seed{seed}.tsv"
            for community in COMMUNITIES
            for model, seeds in config["evaluation"]["benchmark"].items()
            for seed in range(1, seeds + 1)
        ),
    shell:
        "python -m genestill evaluation benchmark --metrics {input.metrics:q} {params.costs}"
        " --output {output.metrics:q} --summary {output.table:q} 2> {log:q}"
