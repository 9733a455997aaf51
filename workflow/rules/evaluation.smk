STUDENT_NAME = config["student"]["name"]
LABELS_NAME = config["evaluation"]["labels_name"]
# Every student has a separate evaluation; that of another student is not changed.
EVALUATION = f"{RESULTS}/evaluation/{'imported' if ONLY_SCORES else STUDENT_NAME}"
EVALUATED_TRUTH = f"{RESULTS}/reference/truth.parquet" if TRUTH else []
EVALUATED_LABELS = [] if ONLY_SCORES else f"{RESULTS}/labels/labels.parquet"
EVALUATED_INDEX = [] if ONLY_SCORES else f"{RESULTS}/reference/contigs.parquet"
STUDENT_PREDICTIONS = (
    {}
    if ONLY_SCORES
    else {STUDENT_NAME: f"{RESULTS}/student/{STUDENT_NAME}/predictions.parquet"}
)
# Predictions of taxonomy given by the user, as a table, or as a table with its format.
GIVEN_PREDICTIONS = {
    name: {"format": "auto", **({"table": given} if isinstance(given, str) else given)}
    for name, given in config["evaluation"]["predictions"].items()
    if config["recipe"] in ("taxdistill", "taxdistill-published")
}
PEER_PREDICTIONS = {
    name: f"{RESULTS}/evaluation/imported/{name}/predictions.parquet"
    for name in GIVEN_PREDICTIONS
}
COMPARED_PREDICTIONS = [*STUDENT_PREDICTIONS.values(), *PEER_PREDICTIONS.values()]
COMPARED_NAMES = [
    *([] if ONLY_SCORES else [LABELS_NAME]),
    *STUDENT_PREDICTIONS,
    *PEER_PREDICTIONS,
]


# Figure -> its section and name in the report. A run with only a truth has neither labels nor samples; without a truth,
# the last six figures do not exist.
TAXONOMY_FIGURES = (
    {
        "label_changes": ("Label changes", "Labels before and after"),
        "coverage": ("Label changes", "Share of contigs named at each rank"),
        "composition": ("Composition", "Families in each sample"),
    }
    if not ONLY_SCORES
    else {"coverage": ("Accuracy", "Share of contigs named at each rank")}
) | (
    {
        "f1_by_rank": ("Accuracy", "F1 by rank"),
        "precision_recall": ("Accuracy", "Precision and recall at species"),
        "risk_coverage": (
            "Confidence",
            "Share of wrong names by share of contigs named",
        ),
        "reliability": ("Confidence", "Confidence and share of right names"),
        "by_status": ("Novelty", "Names at species by novelty of the genome"),
        "by_length": ("Accuracy", "F1 by contig length"),
    }
    if TRUTH
    else {}
)


rule import_predictions:
    input:
        predictions=lambda wildcards: GIVEN_PREDICTIONS[wildcards.peer]["table"],
        contigs=EVALUATED_TRUTH if ONLY_SCORES else EVALUATED_INDEX,
        taxonomy=TAXONOMY,
    output:
        f"{RESULTS}/evaluation/imported/{{peer}}/predictions.parquet",
    log:
        f"{RESULTS}/logs/evaluation/import_predictions_{{peer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/import_predictions_{{peer}}.tsv"
    wildcard_constraints:
        peer="[^/]+",
    priority: 1  # an invalid table should be found before hours of training
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        format=lambda wildcards: GIVEN_PREDICTIONS[wildcards.peer]["format"],
        taxonomy=lambda wildcards, input: options(taxonomy=input.taxonomy),
    shell:
        "python -m genestill evaluation import-predictions --predictions {input.predictions:q} --format {params.format:q}"
        " --contigs {input.contigs:q} {params.taxonomy} --output {output:q} 2> {log:q}"


rule evaluate_taxonomy:
    input:
        truth=EVALUATED_TRUTH,
        labels=EVALUATED_LABELS,
        predictions=COMPARED_PREDICTIONS,
        abundance=[] if ONLY_SCORES else f"{RESULTS}/reference/abundance.parquet",
    output:
        f"{EVALUATION}/metrics.parquet",
    log:
        f"{RESULTS}/logs/evaluation/evaluate_taxonomy.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/evaluate_taxonomy.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        compared=compared_models(),
        abundance=lambda wildcards, input: options(abundance=input.abundance),
        options=options(
            dataset=config["dataset"]["name"],
            seed=config["seed"],
            resamples=config["evaluation"]["resamples"],
        ),
    shell:
        "python -m genestill evaluation taxonomy {params.compared} {params.abundance} {params.options} --output {output:q}"
        " 2> {log:q}"


rule print_taxonomy_table:
    input:
        f"{EVALUATION}/metrics.parquet",
    output:
        table=f"{EVALUATION}/table.txt",
        page=report(
            f"{EVALUATION}/table.html",
            caption="../report/table.rst",
            category=TAXONOMY_SECTIONS["Answer"],
            labels={"shows": "Labels and model, rank by rank"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/print_taxonomy_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/print_taxonomy_table.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    shell:
        "python -m genestill evaluation taxonomy-table --metrics {input:q} --output {output.table:q} 2> {log:q}"


rule draw_taxonomy_figures:
    input:
        metrics=f"{EVALUATION}/metrics.parquet",
        truth=EVALUATED_TRUTH,
        labels=EVALUATED_LABELS,
        predictions=COMPARED_PREDICTIONS,
        index=EVALUATED_INDEX,
        abundance=[] if ONLY_SCORES else f"{RESULTS}/reference/abundance.parquet",
    output:
        *(
            report(
                f"{EVALUATION}/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category=TAXONOMY_SECTIONS[section],
                labels={"shows": name},
            )
            for figure, (section, name) in TAXONOMY_FIGURES.items()
        ),
        *(
            report(
                f"{EVALUATION}/figures/{figure}.tsv",
                caption=f"../report/{figure}.rst",
                category=TAXONOMY_SECTIONS[section],
                labels={"shows": f"{name} (table)"},
            )
            for figure, (section, name) in TAXONOMY_FIGURES.items()
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_taxonomy_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_taxonomy_figures.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        compared=compared_models(),
        files=lambda wildcards, input: options(
            index=input.index, abundance=input.abundance
        ),
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill evaluation taxonomy-figures --metrics {input.metrics:q} {params.compared} {params.files}"
        " --output {params.folder:q} 2> {log:q}"


rule report_novelty:
    input:
        ledger=expand(rules.find_novelty.output, student=STUDENT_NAME),
        truth=EVALUATED_TRUTH,
        index=EVALUATED_INDEX,
        abundance=[] if ONLY_SCORES else f"{RESULTS}/reference/abundance.parquet",
    output:
        f"{EVALUATION}/novelty/table.txt",
        report(
            f"{EVALUATION}/novelty/table.html",
            caption="../report/novelty.rst",
            category=TAXONOMY_SECTIONS.get("Novelty"),
            labels={"shows": "What the reference lacks"},
        ),
        report(
            f"{EVALUATION}/novelty/shares.svg",
            caption="../report/novelty.rst",
            category=TAXONOMY_SECTIONS.get("Novelty"),
            labels={"shows": "What the reference lacks, by sample"},
        ),
        f"{EVALUATION}/novelty/shares.tsv",
        *([f"{EVALUATION}/novelty/metrics.parquet"] if TRUTH else []),
    log:
        f"{RESULTS}/logs/evaluation/report_novelty.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/report_novelty.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        ledger=lambda wildcards, input: Path(input.ledger[0]).parent,
        scored=lambda wildcards, input, output: options(
            truth=input.truth,
            index=input.index,
            abundance=input.abundance,
            output_metrics=output[4:],
        ),
        dataset=config["dataset"]["name"],
        seed=config["seed"],
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill evaluation novelty --ledger {params.ledger:q} --dataset {params.dataset:q} {params.scored}"
        " --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


# Figures of the run: the published recipe has neither a record of its training nor a hidden layer.
RUN_FIGURES = {"cost": ("How the run went", "Time and memory of every step")} | (
    {
        "training": ("How the run went", "Loss by epoch"),
        "maps": ("Representations", "Contigs in two dimensions"),
    }
    if STUDENT["objective"] == "posterior"
    else {}
)

# Snakemake's benchmark files of the steps up to the student; they are not outputs, so they cannot be inputs.
COST_STEPS = [
    rules.index_contigs,
    rules.make_taxonomy,
    *(
        []
        if not MAKES_COMMUNITY
        else [rules.trace_contigs] if ASSEMBLED else [rules.cut_community]
    ),
    rules.import_labels if IMPORTED_LABELS else getattr(rules, SEARCH_STEP),
    *([] if IMPORTED_LABELS else [rules.make_database]),
    *([] if IMPORTED_LABELS or REFERENCE["database"] else [rules.predict_proteins]),
    rules.build_label_tree,
    *(
        (
            [rules.import_shard]
            if STORED
            else [
                *([] if TEACHER_CONFIG["model"] else [rules.pretrain_teacher]),
                rules.check_teacher,
                rules.embed_shard,
            ]
        )
        if STUDENT["teacher"] == "embeddings"
        else []
    ),
    *(
        [rules.make_soft_labels]
        if STUDENT["teacher"] == "embeddings" and STUDENT["objective"] == "posterior"
        else []
    ),
    (
        rules.train_corrector
        if STUDENT["objective"] == "posterior"
        else rules.train_published_corrector
    ),
    rules.export_predictions,
    *([rules.find_novelty] if WITH_LEDGER else []),
    rules.evaluate_taxonomy,
]
COSTS = [
    file
    for step in COST_STEPS
    for file in expand(
        step.benchmark,
        student=STUDENT_NAME,
        set="contigs",
        representation="sequence",
        shard=range(config["teacher"]["shards"]),
    )
]


rule draw_run_figures:
    input:
        scored=f"{EVALUATION}/table.txt",
        exported=f"{RESULTS}/student/{STUDENT_NAME}/export",
        predictions=f"{RESULTS}/student/{STUDENT_NAME}/predictions.parquet",
        truth=EVALUATED_TRUTH,
        model=(
            f"{RESULTS}/student/{STUDENT_NAME}/model"
            if "training" in RUN_FIGURES
            else []
        ),
        student=(
            f"{RESULTS}/student/{STUDENT_NAME}/embeddings.parquet"
            if "maps" in RUN_FIGURES
            else []
        ),
        teacher=(
            SHARDS
            if "maps" in RUN_FIGURES and STUDENT["teacher"] == "embeddings"
            else []
        ),
    output:
        *(
            report(
                f"{EVALUATION}/run/{figure}.{form}",
                caption=f"../report/{figure}.rst",
                category=TAXONOMY_SECTIONS[section],
                labels={"shows": f"{name}{kind}"},
            )
            for figure, (section, name) in RUN_FIGURES.items()
            for form, kind in (("svg", ""), ("tsv", " (table)"))
        ),
    log:
        f"{RESULTS}/logs/evaluation/draw_run_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/draw_run_figures.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=30,
    params:
        files=lambda wildcards, input: options(
            truth=input.truth,
            training=f"{input.model}/training.tsv" if input.model else None,
        ),
        seed=config["seed"],
        representations=lambda wildcards, input: options(
            representations=[f"teacher={shard}" for shard in input.teacher]
            + [f"student={input.student}"] * bool(input.student)
        ),
        costs=list(dict.fromkeys(COSTS)),
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill evaluation run-figures --costs {params.costs:q} {params.representations}"
        " --predictions {input.predictions:q} {params.files} --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


# The first page of the report. A run with only a truth has no student and no outcomes of contigs.
rule summarise_taxonomy:
    input:
        scored=f"{EVALUATION}/metrics.parquet",
        metrics=f"{EVALUATION}/metrics.parquet" if TRUTH else [],
        predictions=[] if ONLY_SCORES else list(STUDENT_PREDICTIONS.values()),
        index=EVALUATED_INDEX,
        # Its warnings are listed on the page.
        admission=[] if ONLY_SCORES else TEACHER_ADMISSION,
        abundance=[] if ONLY_SCORES else f"{RESULTS}/reference/abundance.parquet",
        exported=[] if ONLY_SCORES else f"{RESULTS}/student/{STUDENT_NAME}/export",
        picture=f"{EVALUATION}/figures/f1_by_rank.svg" if ONLY_SCORES else [],
        ledger=(
            expand(rules.find_novelty.output, student=STUDENT_NAME)
            if WITH_LEDGER and not ONLY_SCORES
            else []
        ),
    output:
        page=report(
            f"{EVALUATION}/summary.html",
            caption="../report/summary.rst",
            category=TAXONOMY_SECTIONS["Answer"],
            labels={"shows": "What became of the contigs"},
        ),
        outcomes=[
            report(
                f"{EVALUATION}/outcomes.{form}",
                caption="../report/outcomes.rst",
                category=TAXONOMY_SECTIONS["Answer"],
                labels={"shows": f"Where lineages end, and why{kind}"},
            )
            for form, kind in (("svg", ""), ("tsv", " (table)"))
            if not ONLY_SCORES
        ],
    log:
        f"{RESULTS}/logs/evaluation/summarise_taxonomy.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/summarise_taxonomy.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        run=SUMMARY,
        facts=options(
            fact=[
                f"taxonomy={RESULTS}/reference/taxonomy/summary.json",
                f"database={RESULTS}/reference/database/summary.json",
                f"proteins={RESULTS}/reference/proteins/summary.json",
                f"labels={RESULTS}/labels/summary.json",
            ]
        ),
        student=options(student=None if ONLY_SCORES else STUDENT_NAME),
        files=lambda wildcards, input: options(
            metrics=input.metrics,
            predictions=input.predictions,
            index=input.index,
            abundance=input.abundance,
            picture=input.picture,
            ledger=[Path(file).parent for file in input.ledger[:1]],
        ),
        downloads=lambda wildcards, input, output: downloads(
            lineage_of_every_contig=input.exported
            and f"{input.exported}/predictions.tsv",
            share_of_each_sample_that_the_reference_lacks=next(
                (file for file in input.ledger if file.endswith("novelty.tsv")), None
            ),
            groups_of_contigs_that_are_probably_new=next(
                (file for file in input.ledger if file.endswith("novel_groups.tsv")),
                None,
            ),
            share_of_each_outcome_in_each_sample=next(
                (file for file in output.outcomes if file.endswith("outcomes.tsv")),
                None,
            ),
        ),
    shell:
        "python -m genestill evaluation summary {params.run} {params.facts}"
        " {params.student} {params.files} {params.downloads} --output {output.page:q} 2> {log:q}"


rule write_amber_input:
    input:
        truth=EVALUATED_TRUTH,
        labels=EVALUATED_LABELS,
        predictions=COMPARED_PREDICTIONS,
    output:
        directory(f"{EVALUATION}/amber/input"),
    log:
        f"{RESULTS}/logs/evaluation/write_amber_input.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/write_amber_input.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    params:
        compared=compared_models(),
    shell:
        "python -m genestill evaluation amber-input {params.compared} --output {output:q} 2> {log:q}"


rule run_amber:
    input:
        tables=f"{EVALUATION}/amber/input",
        environment=peer_environment("amber"),
    output:
        directory(f"{EVALUATION}/amber/output"),
    log:
        f"{RESULTS}/logs/evaluation/run_amber.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/run_amber.tsv"
    conda:
        "../../envs/amber.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
    params:
        program=peer_program("amber", "amber.py"),
        names=",".join(COMPARED_NAMES),
        binnings=[f"{EVALUATION}/amber/input/{name}.binning" for name in COMPARED_NAMES],
        options="",
    # AMBER writes a cache into its taxonomy folder, so it gets a copy.
    shell:
        "mkdir -p {output:q} && cp -r {input.tables:q}/taxdump {output:q}/taxdump &&"
        " {params.program:q} -g {input.tables:q}/gold.binning -l {params.names:q} --ncbi_dir {output:q}/taxdump"
        " {params.options} -o {output:q} {params.binnings:q} > {log:q} 2>&1"


rule compare_with_amber:
    input:
        results=f"{EVALUATION}/amber/output",
        metrics=f"{EVALUATION}/metrics.parquet",
    output:
        report(
            f"{EVALUATION}/amber.tsv",
            caption="../report/amber.rst",
            category=TAXONOMY_SECTIONS.get("Accuracy"),
            labels={"shows": "Agreement with AMBER (table)"},
        ),
    log:
        f"{RESULTS}/logs/evaluation/compare_with_amber.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/compare_with_amber.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        models=COMPARED_NAMES,
        seed="",
    shell:
        "python -m genestill evaluation amber-comparison --results {input.results:q}/results.tsv --metrics {input.metrics:q}"
        " --models {params.models:q} {params.seed} --output {output:q} 2> {log:q}"


rule taxdistill:
    input:
        end_of("taxdistill"),
        [] if ONLY_SCORES else TEACHER_ADMISSION,
        rules.evaluate_taxonomy.output,
        rules.print_taxonomy_table.output,
        rules.draw_taxonomy_figures.output,
        rules.summarise_taxonomy.output,
        [] if ONLY_SCORES else rules.draw_run_figures.output,
        [] if ONLY_SCORES else f"{RESULTS}/student/{STUDENT_NAME}/export",
        rules.report_novelty.output if WITH_LEDGER and not ONLY_SCORES else [],
        (
            rules.compare_with_amber.output
            if TRUTH and config["evaluation"]["amber"]
            else []
        ),
        (
            f"{EVALUATION}/binning_comparison.tsv"
            if config["evaluation"]["binning"]
            else []
        ),
