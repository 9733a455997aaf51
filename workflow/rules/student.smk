import re

from genestill.student.corrector.settings import (
    AcceptanceSettings,
    CorrectorSettings,
    NoveltySettings,
    PublishedSettings,
)

STUDENT = config["student"]


rule train_corrector:
    input:
        unpack(evidence_tables),
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        tree=f"{RESULTS}/labels/label_tree.tsv",
        taxonomy=f"{RESULTS}/reference/taxonomy",
        soft_labels=(
            f"{TEACHER}/soft_labels.parquet"
            if STUDENT["teacher"] == "embeddings"
            else []
        ),
        embeddings=SHARDS if STUDENT["teacher"] == "embeddings" else [],
        admitted=TEACHER_ADMITTED,
        genomes=GENOMES if STUDENT["fragments"] else [],
    output:
        model=directory(f"{RESULTS}/student/{{student}}/model"),
        probabilities=f"{RESULTS}/student/{{student}}/probabilities.parquet",
        embeddings=f"{RESULTS}/student/{{student}}/embeddings.parquet",
    log:
        f"{RESULTS}/logs/student/train_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/train_{{student}}.tsv"
    wildcard_constraints:
        student=student_with("posterior"),
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student train-corrector",
            attempt,
            input.index,
            input.tree,
            HITS,
        ),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        evidence=evidence_options,
        soft_labels=lambda wildcards, input: options(soft_labels=input.soft_labels),
        genomes=genomes_of_fragments,
        settings=options(**select_settings(STUDENT, CorrectorSettings)),
        seed=config["seed"],
    shell:
        "python -m genestill student train-corrector --contigs {input.contigs:q} --index {input.index:q}"
        " --abundance {input.abundance:q} --labels {input.labels:q} {params.evidence} --tree {input.tree:q}"
        " --taxonomy {input.taxonomy:q} {params.soft_labels} --embeddings {input.embeddings:q} {params.genomes}"
        " {params.settings} --seed {params.seed:q} --output-model {output.model:q} --output-probabilities {output.probabilities:q}"
        " --output-embeddings {output.embeddings:q} 2> {log:q}"


rule train_published_corrector:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        labels=f"{RESULTS}/labels/labels.parquet",
        tree=f"{RESULTS}/labels/label_tree.tsv",
        embeddings=SHARDS if STUDENT["teacher"] == "embeddings" else [],
    output:
        probabilities=f"{RESULTS}/student/{{student}}/probabilities.parquet",
    log:
        f"{RESULTS}/logs/student/train_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/train_{{student}}.tsv"
    wildcard_constraints:
        student=student_with("published"),
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=options(**select_settings(STUDENT, PublishedSettings)),
        seed=config["seed"],
    shell:
        "python -m genestill student train-published-corrector --contigs {input.contigs:q} --index {input.index:q}"
        " --abundance {input.abundance:q} --labels {input.labels:q} --tree {input.tree:q}"
        " --embeddings {input.embeddings:q} {params.settings} --seed {params.seed:q}"
        " --output-probabilities {output.probabilities:q} 2> {log:q}"


rule accept_names:
    input:
        f"{RESULTS}/student/{{student}}/probabilities.parquet",
    output:
        f"{RESULTS}/student/{{student}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/student/accept_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/accept_{{student}}.tsv"
    wildcard_constraints:
        student=re.escape(STUDENT["name"]),
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student accept", attempt, f"{RESULTS}/reference/contigs.parquet"
        ),
        runtime=30,
    params:
        settings=options(**select_settings(STUDENT, AcceptanceSettings)),
    shell:
        "python -m genestill student accept --probabilities {input:q} {params.settings} --output {output:q} 2> {log:q}"


LEDGER = f"{RESULTS}/student/{{student}}/novelty"


rule find_novelty:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        hits=f"{RESULTS}/labels/hits.parquet",
        alignments=lambda wildcards: evidence_tables(wildcards).get("alignments", []),
        set_aside=config["dataset"].get("set_aside") or [],
        tree=f"{RESULTS}/labels/label_tree.tsv",
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        shares=f"{LEDGER}/shares.parquet",
        groups=f"{LEDGER}/groups.parquet",
        contigs=f"{LEDGER}/contigs.parquet",
        novelty=report(
            f"{LEDGER}/novelty.tsv",
            caption="../report/novelty.rst",
            category=TAXONOMY_SECTIONS.get("Novelty"),
            labels={"shows": "What the reference lacks, by sample and rank (table)"},
        ),
        novel_groups=report(
            f"{LEDGER}/novel_groups.tsv",
            caption="../report/novelty.rst",
            category=TAXONOMY_SECTIONS.get("Novelty"),
            labels={"shows": "Groups of contigs that are probably new (table)"},
        ),
    log:
        f"{RESULTS}/logs/student/novelty_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/novelty_{{student}}.tsv"
    wildcard_constraints:
        student=student_with("posterior"),
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student novelty", attempt, input.index, input.tree, input.hits
        ),
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        more=lambda wildcards, input: options(
            alignments=input.alignments, set_aside=input.set_aside
        ),
        settings=options(**select_settings(STUDENT, NoveltySettings)),
        seed=config["seed"],
        folder=lambda wildcards, output: Path(output.shares).parent,
    shell:
        "python -m genestill student novelty --contigs {input.contigs:q} --index {input.index:q}"
        " --abundance {input.abundance:q} --hits {input.hits:q} {params.more} --tree {input.tree:q}"
        " --taxonomy {input.taxonomy:q} {params.settings} --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


# The exported files that can be downloaded from the report, and their names there.
EXPORTED = {
    "krona.html": "Samples as a chart to click through",
    "predictions.tsv": "Lineage of every contig (table)",
}


rule export_predictions:
    input:
        predictions=f"{RESULTS}/student/{{student}}/predictions.parquet",
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        report(
            directory(f"{RESULTS}/student/{{student}}/export"),
            patterns=["{exported,krona.html|predictions.tsv}"],
            caption="../report/exported.rst",
            category=TAXONOMY_SECTIONS["Composition"],
            labels=lambda wildcards: {"shows": EXPORTED[wildcards.exported]},
        ),
    log:
        f"{RESULTS}/logs/student/export_{{student}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/student/export_{{student}}.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "student export", attempt, input.index
        ),
        runtime=30,
    params:
        name=config["dataset"]["name"],
    shell:
        "python -m genestill student export --predictions {input.predictions:q} --index {input.index:q}"
        " --abundance {input.abundance:q} --taxonomy {input.taxonomy:q} --name {params.name:q} --output {output:q}"
        " 2> {log:q}"
