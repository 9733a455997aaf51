from genestill.labels.settings import SearchSettings

if IMPORTED_LABELS:

    rule import_labels:
        input:
            labels=IMPORTED_LABELS,
            index=f"{RESULTS}/reference/contigs.parquet",
            taxonomy=f"{RESULTS}/reference/taxonomy",
        output:
            labels=f"{RESULTS}/labels/labels.parquet",
            tsv=f"{RESULTS}/labels/labels.tsv",
            summary=f"{RESULTS}/labels/summary.json",
        log:
            f"{RESULTS}/logs/labels/import_labels.log",
        benchmark:
            f"{RESULTS}/benchmarks/labels/import_labels.tsv"
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, input, attempt: memory_mb(
                "labels import", attempt, input.index
            ),
            runtime=30,
        params:
            format=config["labels"]["format"],
        shell:
            "python -m genestill labels import --labels {input.labels:q} --format {params.format:q}"
            " --index {input.index:q} --taxonomy {input.taxonomy:q} --output-labels {output.labels:q}"
            " --output-tsv {output.tsv:q} --output-summary {output.summary:q} 2> {log:q}"

elif UPDATE_FROM:

    rule update_labels:
        input:
            former=f"{UPDATE_FROM}/labels.parquet",
            kept=f"{UPDATE_FROM}/kept",
            index=f"{RESULTS}/reference/contigs.parquet",
            abundance=f"{RESULTS}/reference/abundance.parquet",
            database=f"{RESULTS}/reference/database",
            taxonomy=f"{RESULTS}/reference/taxonomy",
        output:
            labels=f"{RESULTS}/labels/labels.parquet",
            hits=HITS,
            tsv=f"{RESULTS}/labels/labels.tsv",
            summary=f"{RESULTS}/labels/summary.json",
            changes=f"{RESULTS}/labels/changes.tsv",
            contigs=f"{RESULTS}/labels/changed_contigs.tsv",
            kept=directory(f"{RESULTS}/labels/kept"),
        log:
            f"{RESULTS}/logs/labels/update_labels.log",
        benchmark:
            f"{RESULTS}/benchmarks/labels/update_labels.tsv"
        conda:
            "../../envs/mmseqs2.yaml"
        threads: 8
        resources:
            mem_mb=lambda wildcards, attempt: 8000 * attempt,
            runtime=lambda wildcards, attempt: 480 * attempt,
        params:
            former=UPDATE_FROM,
            settings=options(**select_settings(config["labels"], SearchSettings)),
            folder=lambda wildcards, output: Path(output.labels).parent,
        shell:
            "python -m genestill labels update --former {params.former:q} --index {input.index:q}"
            " --abundance {input.abundance:q} --database {input.database:q}/proteins"
            " --taxonomy {input.taxonomy:q} --threads {threads} {params.settings} --output {params.folder:q}"
            " 2> {log:q}"

else:

    rule search_contigs:
        input:
            contigs=CONTIGS,
            index=f"{RESULTS}/reference/contigs.parquet",
            database=f"{RESULTS}/reference/database",
            taxonomy=f"{RESULTS}/reference/taxonomy",
        output:
            labels=f"{RESULTS}/labels/labels.parquet",
            hits=HITS,
            tsv=f"{RESULTS}/labels/labels.tsv",
            summary=f"{RESULTS}/labels/summary.json",
        log:
            f"{RESULTS}/logs/labels/search_contigs.log",
        benchmark:
            f"{RESULTS}/benchmarks/labels/search_contigs.tsv"
        conda:
            "../../envs/mmseqs2.yaml"
        threads: 8
        resources:
            mem_mb=lambda wildcards, attempt: 8000 * attempt,
            runtime=lambda wildcards, attempt: 480 * attempt,
        params:
            settings=options(**select_settings(config["labels"], SearchSettings)),
        shell:
            "python -m genestill labels search --contigs {input.contigs:q} --index {input.index:q}"
            " --database {input.database:q}/proteins --taxonomy {input.taxonomy:q} --threads {threads}"
            " {params.settings} --output-labels {output.labels:q} --output-hits {output.hits:q}"
            " --output-tsv {output.tsv:q} --output-summary {output.summary:q} 2> {log:q}"


rule build_label_tree:
    input:
        labels=f"{RESULTS}/labels/labels.parquet",
        hits=HITS,
        taxonomy=f"{RESULTS}/reference/taxonomy",
    output:
        f"{RESULTS}/labels/label_tree.tsv",
    log:
        f"{RESULTS}/logs/labels/build_label_tree.log",
    benchmark:
        f"{RESULTS}/benchmarks/labels/build_label_tree.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: memory_mb(
            "labels tree", attempt, input.labels, f"{input.taxonomy}/lineages.tsv"
        ),
        runtime=30,
    params:
        hits=lambda wildcards, input: options(hits=input.hits),
        # The published recipe has only known taxa; ours also has leaves for unknown ones.
        other_children=(
            "--other-children" if config["student"]["objective"] == "posterior" else ""
        ),
    shell:
        "python -m genestill labels tree --taxonomy {input.taxonomy:q} --labels {input.labels:q} {params.hits}"
        " {params.other_children} --output {output:q} 2> {log:q}"


rule align_contigs:
    input:
        contigs=CONTIGS,
        index=f"{RESULTS}/reference/contigs.parquet",
        genomes=GENOMES,
    output:
        f"{RESULTS}/labels/alignments.parquet",
    log:
        f"{RESULTS}/logs/labels/align_contigs.log",
    benchmark:
        f"{RESULTS}/benchmarks/labels/align_contigs.tsv"
    conda:
        "../../envs/minimap2.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
    shell:
        "python -m genestill labels align --contigs {input.contigs:q} --index {input.index:q}"
        " --genomes {input.genomes:q} --genomes-folder {params.genomes_folder:q} --threads {threads}"
        " --output {output:q} 2> {log:q}"
