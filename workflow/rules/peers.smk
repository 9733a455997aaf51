# Peers run as programs in separate environments: those of conda with --use-conda, else virtual environments made here.


localrules:
    peer_environment,


rule peer_environment:
    input:
        declaration=ROOT / "envs" / "{peer}.yaml",
        make=ROOT / "scripts" / "make_peer_environment",
    output:
        made=touch(".snakemake/peers/{peer}.made"),
    log:
        "logs/peers/{peer}.log",
    wildcard_constraints:
        peer="[a-z]+",
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=30,
    params:
        folder=lambda wildcards: f".snakemake/peers/{wildcards.peer}",
    shell:
        "{input.make:q} {input.declaration:q} {params.folder:q} 2> {log:q}"
