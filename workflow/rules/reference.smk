DATASET = config["dataset"]
REFERENCE = config["reference"]

SIMULATED_GENOMES = f"{RESULTS}/reference/simulated_genomes"
COMMUNITY = f"{RESULTS}/reference/community"

# A truth without contigs: the given predictions are scored, and no other steps run.
ONLY_SCORES = DATASET["contigs"] is None and DATASET["truth"] is not None
# A run without contigs makes a community, from given genomes or from simulated ones.
MAKES_COMMUNITY = DATASET["contigs"] is None and not ONLY_SCORES
COMMUNITY_GENOMES = REFERENCE["genomes"] or f"{SIMULATED_GENOMES}/genomes.tsv"
SOURCE_FOLDER = REFERENCE["genomes_folder"] or str(Path(COMMUNITY_GENOMES).parent)
# The contigs of an assembled community come from reads; its reference has only chromosomes, without plasmids.
ASSEMBLED = MAKES_COMMUNITY and REFERENCE["assembled"]
GENOMES_FOLDER = f"{RESULTS}/reference/mixture/genomes" if ASSEMBLED else SOURCE_FOLDER

ABUNDANCE = (
    f"{COMMUNITY}/abundance.tsv" if MAKES_COMMUNITY else DATASET["abundance"] or []
)
TRUTH = f"{COMMUNITY}/truth.tsv" if MAKES_COMMUNITY else DATASET["truth"] or []
GENOMES = (
    f"{COMMUNITY}/reference.tsv" if MAKES_COMMUNITY else REFERENCE["genomes"] or []
)
IMPORTED_LABELS = DATASET["labels"] or []


rule simulate_genomes:
    output:
        f"{SIMULATED_GENOMES}/genomes.tsv",
    log:
        f"{RESULTS}/logs/reference/simulate_genomes.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/simulate_genomes.tsv"
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        settings=options(**REFERENCE["simulated_genomes"]),
        seed=config["seed"],
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill reference simulate-genomes {params.settings} --seed {params.seed:q} --output {params.folder:q}"
        " 2> {log:q}"


if ASSEMBLED:

    include: "assembly.smk"

else:

    rule cut_community:
        input:
            COMMUNITY_GENOMES,
        output:
            contigs=f"{COMMUNITY}/contigs.fna.gz",
            abundance=f"{COMMUNITY}/abundance.tsv",
            truth=f"{COMMUNITY}/truth.tsv",
            reference=f"{COMMUNITY}/reference.tsv",
        log:
            f"{RESULTS}/logs/reference/cut_community.log",
        benchmark:
            f"{RESULTS}/benchmarks/reference/cut_community.tsv"
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=60,
        params:
            settings=options(
                lineage_column=REFERENCE["lineage_column"],
                minimum_length=DATASET["minimum_length"],
                **REFERENCE["community"],
            ),
            seed=config["seed"],
            genomes_folder=lambda wildcards: GENOMES_FOLDER,
            folder=lambda wildcards, output: Path(output.contigs).parent,
        shell:
            "python -m genestill reference community --genomes {input:q} --genomes-folder {params.genomes_folder:q}"
            " {params.settings} --seed {params.seed:q} --output {params.folder:q} 2> {log:q}"


# For a truth with genomes, species that count as one and statuses are computed from the reference.
GRADED = bool(TRUTH and GENOMES and not ONLY_SCORES)
SPECIES_SETS = f"{RESULTS}/reference/species_sets.tsv" if GRADED else []
IDENTITIES = f"{RESULTS}/reference/genome_identities.tsv" if GRADED else []

if GRADED:

    rule compare_genomes:
        input:
            genomes=GENOMES,
            truth=TRUTH,
        output:
            sets=SPECIES_SETS,
            identities=IDENTITIES,
        log:
            f"{RESULTS}/logs/reference/compare_genomes.log",
        benchmark:
            f"{RESULTS}/benchmarks/reference/compare_genomes.tsv"
        priority: 1  # invalid input should be found before hours of search and training
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=60,
        params:
            genomes_folder=lambda wildcards: GENOMES_FOLDER,
        shell:
            "python -m genestill reference species-sets --genomes {input.genomes:q} --truth {input.truth:q}"
            " --genomes-folder {params.genomes_folder:q} --output {output.sets:q}"
            " --output-identities {output.identities:q} 2> {log:q}"


rule index_contigs:
    input:
        contigs=CONTIGS,
        abundance=ABUNDANCE,
        bam=DATASET["bam"],
        labels=IMPORTED_LABELS,
        truth=TRUTH,
        reference=GENOMES,
        species_sets=SPECIES_SETS,
        identities=IDENTITIES,
    output:
        index=f"{RESULTS}/reference/contigs.parquet",
        abundance=f"{RESULTS}/reference/abundance.parquet",
        vamb=f"{RESULTS}/reference/abundance.tsv",
        truth=f"{RESULTS}/reference/truth.parquet" if TRUTH and not ONLY_SCORES else [],
    log:
        f"{RESULTS}/logs/reference/index_contigs.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/index_contigs.tsv"
    priority: 1  # invalid input should be found before hours of search and training
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=60,
    params:
        given=lambda wildcards, input, output: options(
            abundance=input.abundance,
            bam=input.bam,
            labels=input.labels,
            truth=input.truth,
            reference=input.reference,
            species_sets=input.species_sets,
            identities=input.identities,
            output_truth=output.truth,
        ),
        settings=options(
            labels_format=config["labels"]["format"] if IMPORTED_LABELS else None,
            genomes_folder=GENOMES_FOLDER if GENOMES else None,
        ),
        minimum_length=DATASET["minimum_length"],
    shell:
        "python -m genestill reference contigs --contigs {input.contigs:q} {params.given}"
        " {params.settings} --minimum-length {params.minimum_length:q} --output-index {output.index:q}"
        " --output-abundance {output.abundance:q} --output-vamb {output.vamb:q} 2> {log:q}"


# The taxonomy for converting taxids to lineages; a run with only a truth may have lineages as text.
TAXONOMY = (
    f"{RESULTS}/reference/taxonomy" if REFERENCE["taxdump"] or not ONLY_SCORES else []
)

if ONLY_SCORES:

    rule read_truth:
        input:
            truth=TRUTH,
            taxonomy=TAXONOMY,
        output:
            f"{RESULTS}/reference/truth.parquet",
        log:
            f"{RESULTS}/logs/reference/read_truth.log",
        benchmark:
            f"{RESULTS}/benchmarks/reference/read_truth.tsv"
        conda:
            "../../envs/genestill.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=30,
        params:
            taxonomy=lambda wildcards, input: options(taxonomy=input.taxonomy),
        shell:
            "python -m genestill reference truth --truth {input.truth:q} {params.taxonomy} --output {output:q} 2> {log:q}"


rule make_taxonomy:
    input:
        unpack(taxonomy_source),
        truth=f"{RESULTS}/reference/truth.parquet" if TRUTH and not ONLY_SCORES else [],
    output:
        directory(f"{RESULTS}/reference/taxonomy"),
    log:
        f"{RESULTS}/logs/reference/make_taxonomy.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/make_taxonomy.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        source=lambda wildcards, input: options(
            database=(
                f"{input.database}/proteins" if "database" in input.keys() else None
            ),
            genomes=input.get("genomes"),
            labels=input.get("labels"),
            truth=input.truth,
        ),
        settings=options(
            genomes_folder=GENOMES_FOLDER if GENOMES else None,
            labels_format=config["labels"]["format"] if IMPORTED_LABELS else None,
            taxdump=REFERENCE["taxdump"],
        ),
    shell:
        "python -m genestill reference taxonomy {params.source} {params.settings} --output {output:q} 2> {log:q}"


rule predict_proteins:
    input:
        genomes=GENOMES,
    output:
        # Not the folder: Snakemake would delete it, with the proteins of an interrupted run.
        f"{RESULTS}/reference/proteins/summary.json",
    log:
        f"{RESULTS}/logs/reference/predict_proteins.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/predict_proteins.tsv"
    conda:
        "../../envs/pyrodigal.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        genomes_folder=lambda wildcards: GENOMES_FOLDER,
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m genestill reference proteins --genomes {input.genomes:q} --genomes-folder {params.genomes_folder:q}"
        " --threads {threads} --output {params.folder:q} 2> {log:q}"


rule make_database:
    input:
        unpack(database_source),
    output:
        directory(f"{RESULTS}/reference/database"),
    log:
        f"{RESULTS}/logs/reference/make_database.log",
    benchmark:
        f"{RESULTS}/benchmarks/reference/make_database.tsv"
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: (720 if REFERENCE["database"] else 60)
        * attempt,
    params:
        source=lambda wildcards, input: options(
            proteins=(
                f"{RESULTS}/reference/proteins" if "proteins" in input.keys() else None
            ),
            taxonomy=input.get("taxonomy"),
        ),
        ready=options(ready=REFERENCE["database"]),
    shell:
        "python -m genestill reference database {params.ready} {params.source} --threads {threads} --output {output:q} 2> {log:q}"
