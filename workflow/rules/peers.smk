# Peers run as programs in environments of their own: conda's with --use-conda, else virtual environments made here.

from snakemake.settings.enums import DeploymentMethod


localrules:
    peer_environment,


def peer_environment(name):
    """What a rule that calls a peer waits for: its virtual environment, or nothing where conda gives the peer."""
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
        return []
    return f".snakemake/peers/{name}/made"


def peer_program(name, program):
    """The program of a peer, to be called in a rule's shell command."""
    return f".snakemake/peers/{name}/bin/{program}" if peer_environment(name) else program


rule peer_environment:
    input:
        declaration=Path(workflow.basedir).parent / "envs" / "{peer}.yaml",
        make=Path(workflow.basedir).parent / "scripts" / "make_peer_environment",
    output:
        made=touch(".snakemake/peers/{peer}/made"),
    log:
        "logs/peers/{peer}.log",
    wildcard_constraints:
        peer="[a-z]+",
    conda:
        "../../envs/genestill.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    shell:
        "{input.make} {input.declaration} $(dirname {output.made}) 2> {log}"
