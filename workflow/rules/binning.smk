# Taxonomic binning as scored by CAMI: predictions of tools compared with a gold standard, AMBER on the same files, and
# published results.

BINNING = f"{EVALUATION}/binning.tsv"
BINNED = STUDENT_PREDICTIONS | PEER_PREDICTIONS
# AMBER reads the given files unchanged, which is only possible for files of tools.
AMBER_ON_FILES = f"{EVALUATION}/amber/binnings"
GIVEN_TABLES = {name: given["table"] for name, given in GIVEN_PREDICTIONS.items()}
PARTS_OF_TRUTH = [TRUTH] if isinstance(TRUTH, str) else TRUTH


rule score_binning:
    input:
        truth=EVALUATED_TRUTH,
        predictions=list(BINNED.values()),
    output:
        BINNING,
    log:
        f"{RESULTS}/logs/evaluation/score_binning.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/score_binning.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        predictions=options(
            predictions=[f"{name}={file}" for name, file in BINNED.items()]
        ),
    shell:
        "python -m genestill evaluation binning --truth {input.truth:q} {params.predictions} --output {output:q}"
        " 2> {log:q}"


rule write_binning_amber_input:
    input:
        truth=PARTS_OF_TRUTH,
        predictions=list(GIVEN_TABLES.values()),
        taxdump=REFERENCE["taxdump"] or [],
    output:
        directory(f"{EVALUATION}/amber/files"),
    log:
        f"{RESULTS}/logs/evaluation/write_binning_amber_input.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/write_binning_amber_input.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        predictions=options(
            predictions=[f"{name}={file}" for name, file in GIVEN_TABLES.items()]
        ),
    shell:
        "python -m genestill evaluation binning-amber-input --truth {input.truth:q} {params.predictions}"
        " --taxdump {input.taxdump:q} --output {output:q} 2> {log:q}"


# Without the smallest bins that together have 1 % of the bases, which the challenge excludes from its averages.
use rule run_amber as run_amber_on_binnings with:
    input:
        tables=f"{EVALUATION}/amber/files",
        environment=peer_environment("amber"),
    output:
        directory(AMBER_ON_FILES),
    log:
        f"{RESULTS}/logs/evaluation/run_amber_on_binnings.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_amber_on_binnings.tsv"
    params:
        program=peer_program("amber", "amber.py"),
        names=",".join(GIVEN_TABLES),
        binnings=[f"{EVALUATION}/amber/files/{name}.binning" for name in GIVEN_TABLES],
        options="-p 1",


# AMBER is used if every prediction is a file with taxids of a known dump.
AMBER_ASKED = (
    config["evaluation"]["amber"] and ONLY_SCORES and REFERENCE["taxdump"] is not None
)
PUBLISHED_BINNING = config["evaluation"]["published"] or []


rule compare_binning:
    input:
        ours=BINNING,
        amber=AMBER_ON_FILES if AMBER_ASKED else [],
        published=PUBLISHED_BINNING,
    output:
        f"{EVALUATION}/binning_comparison.tsv",
    log:
        f"{RESULTS}/logs/evaluation/compare_binning.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/compare_binning.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        tables=options(
            metrics=f"{DATASET['name']}={BINNING}",
            amber=(
                f"{DATASET['name']}={AMBER_ON_FILES}/results.tsv"
                if AMBER_ASKED
                else None
            ),
            published=(
                f"{DATASET['name']}={PUBLISHED_BINNING}" if PUBLISHED_BINNING else None
            ),
        ),
    shell:
        "python -m genestill evaluation binning-comparison {params.tables} --output {output:q} 2> {log:q}"
