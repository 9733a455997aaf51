# Published data: fetched with checksums, unpacked, turned into contigs with right answers. Cluster nodes often have
# no way out, so all of it runs where Snakemake runs.

import re

from genestill.reference.sources import read_sources

CAMI2 = "resources/downloads/cami2"
# <dataset>/taxonomy, <dataset>/contigs-<sample> -> where it was published, how large, which checksum.
CAMI2_FILES = {
    f"{source.dataset.lower()}/{source.role}"
    + (f"-{source.sample}" if source.sample else ""): source
    for source in read_sources(ROOT / "resources" / "cami2.tsv")
    if source.role in ("contigs", "taxonomy")
}


localrules:
    fetch_cami2,
    unpack_cami2_contigs,
    unpack_cami2_taxonomy,
    gather_cami2,


# The command compares checksum and size with the published ones, where there are any.
rule fetch_cami2:
    output:
        archive=ensure(f"{CAMI2}/{{file}}.archive", non_empty=True),
    log:
        "logs/downloads/cami2/{file}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, CAMI2_FILES)) or "none",  # which is no file's name
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
            f"{CAMI2}/{file.replace('contigs-', 'samples/')}"
            for file in CAMI2_FILES
            if file.startswith(f"{wildcards.dataset}/contigs-")
        ],
        # Right answers are named as the reference names its taxa, where the configuration gives that taxonomy.
        taxonomy=config["reference"]["taxdump"] or f"{CAMI2}/{{dataset}}/taxonomy",
    output:
        contigs=f"{CAMI2}/{{dataset}}/community/contigs.fna.gz",
        truth=f"{CAMI2}/{{dataset}}/community/truth.tsv",
    log:
        "logs/downloads/cami2/{dataset}/gather.log",
    benchmark:
        "benchmarks/downloads/cami2/{dataset}/gather.tsv"
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=240,
    params:
        folder=subpath(output.contigs, parent=True),
    shell:
        "python -m genestill reference gold-standard --contigs {input.samples:q} --mappings {input.samples:q}"
        " --taxdump {input.taxonomy:q} --output {params.folder:q} 2> {log:q}"
