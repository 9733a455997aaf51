# Published data: downloaded with checksums, extracted, and converted to contigs with ground truth. Nodes of a cluster
# often have no internet access, so these are local rules.

import re

from genestill.reference.sources import read_sources

CAMI2 = "resources/downloads/cami2"
# <dataset>/taxonomy, <dataset>/contigs-<sample> -> address, size and checksum.
CAMI2_FILES = {
    f"{source.dataset.lower()}/{source.role}"
    + (f"-{source.sample}" if source.sample else ""): source
    for source in read_sources(ROOT / "resources" / "cami2.tsv")
    if source.role in ("contigs", "reads", "taxonomy")
}
# The metadata of GTDB, for converting taxids to the names of its database.
GTDB_FILES = {
    f"gtdb/{source.sample}": source
    for source in read_sources(ROOT / "resources" / "gtdb.tsv")
}
CAMI2_FILES |= GTDB_FILES
# Tables of transcripts with measured targets.
TRANSCRIPTS = "resources/downloads/transcripts"
TRANSCRIPT_FILES = {
    source.sample: source
    for source in read_sources(ROOT / "resources" / "transcript_tables.tsv")
}
# <dataset> -> sample -> the archive of its reads: that of its contigs if both are published together.
CAMI2_READS = {
    dataset: {
        source.sample: f"{CAMI2}/{dataset}/{role}-{source.sample}.archive"
        for source in CAMI2_FILES.values()
        if source.role == "contigs" and source.dataset.lower() == dataset
        for role in [
            "reads" if f"{dataset}/reads-{source.sample}" in CAMI2_FILES else "contigs"
        ]
    }
    for dataset in sorted({source.dataset.lower() for source in CAMI2_FILES.values()})
}


# An existing database for several runs: resources/downloads/databases/<name>/proteins, with <name> as in MMseqs2.
DATABASES = "resources/downloads/databases"
OF_GTDB = config["reference"]["database"] in ("GTDB", f"{DATABASES}/GTDB/proteins")


localrules:
    cut_published_contigs,
    fetch_cami2,
    fetch_database,
    fetch_genomes,
    fetch_regions,
    fetch_transcript_file,
    make_transcript_tables,
    unpack_cami2_contigs,
    unpack_cami2_reads,
    unpack_cami2_taxonomy,
    gather_cami2,
    merge_cami2_depths,


# The command compares checksum and size with the published ones, if there are any.
rule fetch_cami2:
    output:
        archive=ensure(f"{CAMI2}/{{file}}.archive", non_empty=True),
    log:
        "logs/downloads/cami2/{file}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, CAMI2_FILES)) or "none",  # matches no file
    retries: 2
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=720,
    params:
        url=lambda wildcards: CAMI2_FILES[wildcards.file].url,
        options=lambda wildcards: CAMI2_FILES[wildcards.file].fetch_options,
    shell:
        "python -m genestill reference fetch --url {params.url:q} {params.options:q} --output {output.archive:q} 2> {log:q}"


rule fetch_database:
    output:
        directory(f"{DATABASES}/{{name}}"),
    log:
        "logs/downloads/databases/{name}.log",
    conda:
        "../../envs/mmseqs2.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
    shell:
        "python -m genestill reference database --ready {wildcards.name:q} --threads {threads} --output {output:q} 2> {log:q}"


# reference.genomes: resources/downloads/genomes/genomes.tsv; the files of the genomes are written beside the table.
rule fetch_genomes:
    input:
        table=ROOT / "resources" / "genomes.tsv",
    output:
        "resources/downloads/genomes/genomes.tsv",
    log:
        "logs/downloads/genomes.log",
    retries: 2
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=720,
    shell:
        "python -m genestill reference fetch-genomes --table {input.table:q} --output {output:q} 2> {log:q}"


# dna.windows.genomes of config/fetched/had.yaml; the FASTA files are written beside the table.
rule fetch_regions:
    input:
        sources=ROOT / "resources" / "regions.tsv",
        genomes=ROOT / "config" / "eukaryotes.tsv",
    output:
        "resources/downloads/regions/eukaryotes.tsv",
    log:
        "logs/downloads/regions.log",
    retries: 2
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=240,
    params:
        downloads=lambda wildcards, output: Path(output[0]).parent / "files",
    shell:
        "python -m genestill reference fetch-regions --sources {input.sources:q} --genomes {input.genomes:q}"
        " --downloads {params.downloads:q} --output {output:q} 2> {log:q}"


# dataset and reference of config/fetched/community.yaml: the positions of contigs in genomes are published with the project.
rule cut_published_contigs:
    input:
        positions=ROOT / "resources" / "community" / "contigs.tsv.gz",
        genomes="resources/downloads/genomes/genomes.tsv",
        held=ROOT / "resources" / "community" / "reference.tsv",
    output:
        contigs="resources/downloads/community/contigs.fna.gz",
        truth="resources/downloads/community/truth.tsv",
        abundance="resources/downloads/community/abundance.tsv",
        reference="resources/downloads/community/reference.tsv",
    log:
        "logs/downloads/community.log",
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=30,
    params:
        folder=lambda wildcards, output: Path(output.contigs).parent,
    shell:
        "python -m genestill reference cut-contigs --positions {input.positions:q} --genomes {input.genomes:q}"
        " --held {input.held:q} --output {params.folder:q} 2> {log:q}"


rule fetch_transcript_file:
    output:
        ensure(f"{TRANSCRIPTS}/files/{{file}}", non_empty=True),
    log:
        "logs/downloads/transcripts/{file}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, TRANSCRIPT_FILES)) or "none",  # matches no file
    retries: 2
    conda:
        "../../envs/genestill.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=60,
    params:
        url=lambda wildcards: TRANSCRIPT_FILES[wildcards.file].url,
        options=lambda wildcards: TRANSCRIPT_FILES[wildcards.file].fetch_options,
    shell:
        "python -m genestill reference fetch --url {params.url:q} {params.options:q} --output {output:q} 2> {log:q}"


# The tables of config/fetched/mrna.yaml that are converted or joined; it names the other files as they are.
rule make_transcript_tables:
    input:
        transcripts=f"{TRANSCRIPTS}/files/human_coding_mrna.fa.gz",
        models=f"{TRANSCRIPTS}/files/human_coding_mrna.bed",
        half_lives=f"{TRANSCRIPTS}/files/half_lives.tsv",
        efficiencies=f"{TRANSCRIPTS}/files/efficiencies.csv",
        transcript_abundance=f"{TRANSCRIPTS}/files/transcript_abundance.csv",
        protein_abundance=f"{TRANSCRIPTS}/files/protein_abundance.csv",
        decay=f"{TRANSCRIPTS}/files/decay.rda",
        genes=ROOT / "resources" / "transcripts" / "genes.tsv.gz",
    output:
        human=f"{TRANSCRIPTS}/tables/human_mrna_halflife_te.tsv.gz",
        decay=f"{TRANSCRIPTS}/tables/cds_decay_rate_icodon.tsv.gz",
        transcripts=f"{TRANSCRIPTS}/tables/cds_transcript_abundance_ecoli.tsv.gz",
        proteins=f"{TRANSCRIPTS}/tables/cds_protein_abundance_ecoli.tsv.gz",
    log:
        "logs/downloads/transcripts/tables.log",
    conda:
        "../../envs/rdata.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        files=lambda wildcards, input: options(**dict(input.items())),
        folder=lambda wildcards, output: Path(output.human).parent,
    shell:
        "python -m genestill reference transcript-tables {params.files} --output {params.folder:q} 2> {log:q}"


rule unpack_cami2_contigs:
    input:
        archive=f"{CAMI2}/{{dataset}}/contigs-{{sample}}.archive",
    output:
        folder=directory(f"{CAMI2}/{{dataset}}/samples/{{sample}}"),
    log:
        "logs/downloads/cami2/{dataset}/unpack-{sample}.log",
    wildcard_constraints:
        sample="[0-9]+",
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=240,
    shell:
        "python -m genestill reference unpack --archive {input.archive:q} --wanted '*/anonymous_gsa.fasta.gz'"
        " '*/gsa_mapping.tsv.gz' --output {output.folder:q} 2> {log:q}"


rule unpack_cami2_reads:
    input:
        archive=lambda wildcards: CAMI2_READS[wildcards.dataset][wildcards.sample],
    output:
        folder=temp(directory(f"{CAMI2}/{{dataset}}/reads/{{sample}}")),
    log:
        "logs/downloads/cami2/{dataset}/unpack-reads-{sample}.log",
    wildcard_constraints:
        sample="[0-9]+",
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=240,
    shell:
        "python -m genestill reference unpack --archive {input.archive:q} --wanted '*/anonymous_reads.fq.gz'"
        " --output {output.folder:q} 2> {log:q}"


rule measure_cami2_depth:
    input:
        contigs=f"{CAMI2}/{{dataset}}/community/contigs.fna.gz",
        reads=f"{CAMI2}/{{dataset}}/reads/{{sample}}",
    output:
        f"{CAMI2}/{{dataset}}/depths/sample_{{sample}}.tsv",
    log:
        "logs/downloads/cami2/{dataset}/depth-{sample}.log",
    benchmark:
        "resources/downloads/benchmarks/cami2/{dataset}/depth-{sample}.tsv"
    wildcard_constraints:
        sample="[0-9]+",
    conda:
        "../../envs/strobealign.yaml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    shell:
        "python -m genestill reference sample-depth --contigs {input.contigs:q} --reads {input.reads:q}"
        " --threads {threads} --output {output:q} 2> {log:q}"


rule merge_cami2_depths:
    input:
        depths=lambda wildcards: [
            f"{CAMI2}/{wildcards.dataset}/depths/sample_{sample}.tsv"
            for sample in CAMI2_READS[wildcards.dataset]
        ],
    output:
        f"{CAMI2}/{{dataset}}/abundance.tsv",
    log:
        "logs/downloads/cami2/{dataset}/merge-depths.log",
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    shell:
        "python -m genestill reference merge-depths --depths {input.depths:q} --output {output:q} 2> {log:q}"


rule unpack_cami2_taxonomy:
    input:
        archive=f"{CAMI2}/{{dataset}}/taxonomy.archive",
    output:
        folder=directory(f"{CAMI2}/{{dataset}}/taxonomy"),
    log:
        "logs/downloads/cami2/{dataset}/unpack-taxonomy.log",
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=60,
    shell:
        "python -m genestill reference unpack --archive {input.archive:q} --wanted '*.dmp' --output {output.folder:q}"
        " 2> {log:q}"


rule gather_cami2:
    input:
        samples=lambda wildcards: [
            f"{CAMI2}/{wildcards.dataset}/samples/{sample}"
            for sample in CAMI2_READS[wildcards.dataset]
        ],
        # The truth has the names of the reference's taxonomy, if the configuration gives this taxonomy.
        taxonomy=config["reference"]["taxdump"] or f"{CAMI2}/{{dataset}}/taxonomy",
        gtdb=([f"{CAMI2}/{file}.archive" for file in GTDB_FILES] if OF_GTDB else []),
    output:
        contigs=f"{CAMI2}/{{dataset}}/community/contigs.fna.gz",
        truth=f"{CAMI2}/{{dataset}}/community/truth.tsv",
    log:
        "logs/downloads/cami2/{dataset}/gather.log",
    benchmark:
        "resources/downloads/benchmarks/cami2/{dataset}/gather.tsv"
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=240,
    params:
        folder=subpath(output.contigs, parent=True),
        gtdb=lambda wildcards, input: ["--gtdb", *input.gtdb] if input.gtdb else [],
    shell:
        "python -m genestill reference gold-standard --contigs {input.samples:q} --mappings {input.samples:q}"
        " --taxdump {input.taxonomy:q} {params.gtdb:q} --output {params.folder:q} 2> {log:q}"
