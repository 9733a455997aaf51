import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

# The place of this file, not of the main Snakefile: the workflow is started from the root, and may be a module of
# another one. In the repository the package lies beside the workflow; else it is installed, with the workflow inside.
PLACE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
if (PLACE.parents[1] / "src").is_dir():
    sys.path.insert(0, str(PLACE.parents[1] / "src"))
if find_spec("genestill") is None:
    raise WorkflowError(
        "The package genestill is not installed beside Snakemake. Install the version that the workflow has: "
        "pip install 'genestill[workflow]'"
    )

from snakemake.settings.types import DeploymentMethod

import yaml

from genestill.core.answers import format_answer
from genestill.core.configuration import effective_configuration, merge
from genestill.core.devices import count_gpus
from genestill.core.errors import InputError
from genestill.core.files import write_text
from genestill.core.given_paths import is_folder
from genestill.core.installation import source_folder, workflow_root
from genestill.core.locks import folders_to_claim, hold_all
from genestill.core.memory_requests import memory_mb
from genestill.core.recipes import (
    CLADE_TASK,
    asked_of_teacher,
    distilled_students,
    dna_cells,
    dna_models,
    dna_questions,
    dna_students,
    dna_tasks,
    dna_way,
    mrna_students,
    needed_representations,
    reads_pairs,
    results_folder,
    target_of,
)
from genestill.core.settings import select_settings
from genestill.preflight import accept, require_recipe
from genestill.student.corrector.settings import EVIDENCE

# A workflow that is read from a Git repository (git+file:, github()) has an address and no folder: its configurations,
# schemas and tables are those of the installed package.
ROOT = PLACE.parents[1] if PLACE.is_dir() else workflow_root()

# The demo, where nothing says what to run; never under a configuration that is given. A folder may hold a configuration
# of its own, as those that snakedeploy makes do.
DEMO = Path("config", "config.yaml")
if not workflow.overwrite_configfiles:

    configfile: DEMO if DEMO.is_file() else ROOT / DEMO


def checked(function, *arguments):
    """What ``function`` returns; what it refuses ends the run with that sentence alone."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error))


RECIPES = ROOT / "config" / "recipes"
SCHEMAS = ROOT / "workflow" / "schemas"
# What the user wrote; the communities of a benchmark are completed from it again.
GIVEN = config
config = checked(accept, GIVEN, ROOT)

# Snakemake clears PYTHONPATH in conda environments; the package travels with the workflow instead of being installed.
SOURCE = source_folder()
# Without conda, the programs that rules call are those beside the Python that runs Snakemake, on the PATH or not.
WITH_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PROGRAMS = (
    ""
    if WITH_CONDA
    else f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; '
)
shell.prefix(
    f"set -euo pipefail; {PROGRAMS}export PYTHONPATH={shlex.quote(str(SOURCE))}; "
)

# Without a limit Snakemake would start all GPU jobs at once on one card; --resources gpu=N overrides it. Where there is
# no card they run on the CPU, a core each. A report and a lint have no cores.
try:
    CORES = workflow.cores
except WorkflowError:
    CORES = None
workflow.global_resources.setdefault("gpu", count_gpus() or CORES or 1)
# Stands beside every gpu; None is no resource, and the cluster gives any GPU.
GPU_MODEL = config["teacher"]["gpu_model"]
# Beside a card, threads prepare the batches of a training ahead of it.
TRAINING_THREADS = 5 if count_gpus() else 1

RESULTS = results_folder(config)

# Files that several stages read, where the configuration decides which they are.
CONTIGS = (
    config["dataset"]["contigs"] or f"{RESULTS}/reference/community/contigs.fna.gz"
)
UPDATE_FROM = config["labels"]["update_from"]
SEARCH_STEP = "update_labels" if UPDATE_FROM else "search_contigs"
HITS = [] if config["dataset"]["labels"] else f"{RESULTS}/labels/hits.parquet"
# What the reference lacks is told from hits; labels that are given come without.
WITH_LEDGER = bool(HITS) and config["student"]["objective"] == "posterior"
TEACHER = f"{RESULTS}/teacher/{config['teacher']['name']}"
RANDOM_TEACHER = f"{TEACHER}/random"


def teacher_shards(sequences, representation="sequence", teacher=None):
    """What a teacher, that of the run unless another is named, says of a set of sequences, one file per shard."""
    return [
        f"{teacher or TEACHER}/{sequences}/{representation}/{shard}.parquet"
        for shard in range(config["teacher"]["shards"])
    ]


def device(wildcards, resources):
    """The option --device of rules that ask for a GPU; under ``--resources gpu=0`` they take the CPU."""
    return "auto" if resources.gpu else "cpu"


def device_of_training(wildcards, resources):
    """`device`, and whether the model is compiled, which is for a GPU."""
    return device(wildcards, resources) + (
        " --compile" if resources.gpu and config["teacher"]["compile"] else ""
    )


# Snakemake does not compare a parameter that asks for resources, as these two do, with that of the run before.
def check_settings(wildcards, resources):
    """Options of the check of a teacher. One that has passed stays passed: `preflight` looks at its loss before a run."""
    return options(**config["teacher"]["check"])


def embedding_work(wildcards, resources):
    """Options that change how the teacher works and not what it says."""
    return options(
        batch_tokens=config["teacher"]["batch_tokens"],
        processes=config["teacher"]["processes"],
    )


def options(**values):
    """Command-line options of the values that are set: ``abundance="a.tsv"`` gives ``--abundance a.tsv``.

    True gives ``--name``, False ``--no-name``; None, nothing and an empty list give no option.
    """
    words = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
        elif value not in (None, [], ""):
            given = [value] if isinstance(value, (str, int, float)) else list(value)
            words += [
                f"--{name.replace('_', '-')}",
                *(shlex.quote(str(word)) for word in given),
            ]
    return " ".join(words)


def end_of(recipe, *files):
    """Input of the target of a recipe; under the configuration of another recipe the target is refused."""

    def files_of_recipe(wildcards):
        checked(require_recipe, recipe, config)
        return files

    return files_of_recipe


def stored_embeddings(wildcards):
    """Files of another program that hold a representation of a set of sequences."""
    place = STORED[wildcards.set]
    return checked(find_stored, wildcards.set, place, wildcards.representation)


def community_configuration(name, differences):
    """The configuration of one community of a benchmark: what the user wrote with that community's differences.

    Virtual references and thresholds of peers are chosen for all communities together.
    """
    own = {section: value for section, value in GIVEN.items() if section != "benchmark"}
    common = {
        "dataset": {"name": name},
        "reference": {"withheld": WITHHELD},
        "evaluation": {
            "thresholds": CHOSEN_THRESHOLDS if VIRTUAL_COMMUNITIES else None
        },
    }
    return merge(merge(own, differences), common)


def virtual_communities():
    """Community -> its results and the table of its reference; simulated ones only where no other has genomes."""
    if not config["benchmark"]["communities"]:
        return {config["dataset"]["name"]: (RESULTS, GENOMES)} if GENOMES else {}
    found = {}
    for name, differences in config["benchmark"]["communities"].items():
        own = merge(merge(config, differences), {"dataset": {"name": name}})
        folder, given = results_folder(own), own["reference"]["genomes"]
        made = f"{folder}/reference/community/reference.tsv"
        if own["dataset"]["contigs"] is None and own["dataset"]["truth"] is None:
            found[name] = (folder, made, bool(given))
        elif given:
            found[name] = (folder, given, True)
    real = any(genomes for *_, genomes in found.values())
    return {
        name: (folder, table)
        for name, (folder, table, genomes) in found.items()
        if genomes or not real
    }


def compared_models():
    """Options of every command of the evaluation: what is compared, in the order of the tables."""
    return options(
        labels=EVALUATED_LABELS,
        labels_name=LABELS_NAME,
        student=[
            f"{name}@{config['seed']}={file}"
            for name, file in STUDENT_PREDICTIONS.items()
        ],
        peer=[f"{name}={file}" for name, file in PEER_PREDICTIONS.items()],
        truth=EVALUATED_TRUTH,
    )


def peer_evidence(wildcards):
    """The files that a peer needs beside the labels, by the option that takes them."""
    return {
        option: file.format(seed=wildcards.seed)
        for need in CONTIG_PEERS[peer_at(wildcards.model)[0]].needs
        for option, file in PEER_EVIDENCE[need].items()
    }


def kind_of_model(model):
    """What a model of the benchmark is in the tables, whatever settings or threshold its name says."""
    return KIND_OF_MODEL.get(peer_at(published_variant(model)[0])[0], "control")


def predictions_of_runs(runs, folder=RESULTS):
    """The tables of predictions of runs (model, seed)."""
    return [
        f"{folder}/student/{model}.seed{seed}/predictions.parquet"
        for model, seed in runs
    ]


def compared(runs, folder=RESULTS):
    """Options that name the predictions of runs (model, seed) by what the model is in the tables."""
    files = predictions_of_runs(runs, folder)
    return " ".join(
        options(**{kind_of_model(model): f"{model}@{seed}={file}"})
        for (model, seed), file in zip(runs, files, strict=True)
    )


def evidence_tables(wildcards):
    """Source of evidence -> its table, of the sources that the configuration names and that there are."""
    return {
        name: f"{RESULTS}/{EVIDENCE[name].table}"
        for name in config["student"]["evidence"]
        if HITS or not EVIDENCE[name].behind_labels
    }


def evidence_options(wildcards, input):
    """The options that take the tables of `evidence_tables`."""
    return options(**{name: input[name] for name in EVIDENCE if name in input.keys()})


def genomes_of_fragments(wildcards, input):
    """The options that name the genomes of which fragments are cut, where any are."""
    folder = GENOMES_FOLDER if input.genomes else None
    return options(genomes=input.genomes, genomes_folder=folder)


def fragments_of(model):
    """Fragments of each genome that a corrector of the benchmark learns from."""
    return FRAGMENTS.get(model, STUDENT["fragments"])


def unless_ablated(wildcards, what, files):
    """``files``, or nothing where the model of the benchmark does without ``what``."""
    return [] if what in ABLATIONS[wildcards.model] else files


def evidence_unless_ablated(wildcards):
    """Those of `evidence_tables` that the model of the benchmark does not do without."""
    ablated = ABLATIONS[wildcards.model]
    tables = evidence_tables(wildcards)
    return {name: table for name, table in tables.items() if name not in ablated}


def taxonomy_source(wildcards):
    """Where the taxonomy comes from: a ready database, genomes, a taxonomy dump, or the labels themselves."""
    if REFERENCE["database"]:
        return {"database": f"{RESULTS}/reference/database"}
    if REFERENCE["taxdump"] and (IMPORTED_LABELS or ONLY_SCORES):
        # Labels and predictions may name taxa that the genomes do not have: the whole dump.
        return {}
    return {"genomes": GENOMES} if GENOMES else {"labels": IMPORTED_LABELS}


def database_source(wildcards):
    """What the database is made from: nothing of ours if it is a ready one that the user has."""
    if is_downloaded(REFERENCE["database"]):
        return {"ready": str(Path(REFERENCE["database"]).parent)}
    if REFERENCE["database"]:
        return {}
    return {
        "proteins": f"{RESULTS}/reference/proteins/summary.json",
        "taxonomy": f"{RESULTS}/reference/taxonomy",
    }


def peer_environment(name):
    """Input of what calls a peer: its virtual environment, or nothing where conda gives the peer."""
    if WITH_CONDA:
        return []
    return f".snakemake/peers/{name}.made"


def peer_program(name, program):
    """The program of a peer, to be called in a rule's shell command."""
    return (
        f".snakemake/peers/{name}/bin/{program}" if peer_environment(name) else program
    )


def is_downloaded(path):
    """Whether a rule of ours downloads the file; other files are the user's."""
    return isinstance(path, str) and path.startswith("resources/downloads/")


def claim_folders():
    """Refuse a second run that writes into the same folders; Snakemake's own lock is off, for it outlives a killed run.

    Claimed are the folders of all files that the jobs of this run write: results, those of the communities of a
    benchmark too, downloads, environments of peers, logs and measurements.
    """
    written = [
        file
        for job in workflow.dag.needrun_jobs()
        for file in [*job.output, *job.log, *filter(None, [job.benchmark])]
    ]
    workflow.globals["folders_held"] = checked(
        hold_all, {RESULTS, *folders_to_claim(written)}
    )


def write_configuration():
    """Write what the run reads, defaults included, beside its results."""
    effective = effective_configuration(config, RECIPES, SCHEMAS)
    write_text(
        f"{RESULTS}/configuration.yaml",
        yaml.safe_dump(effective, sort_keys=False, allow_unicode=True),
    )


def unpublished_metrics(wildcards):
    """The metrics of the run, or nothing where its figures stand for these settings and this version."""
    from genestill.evaluation.results import identity_of, standing

    effective = effective_configuration(config, RECIPES, SCHEMAS)
    table = standing(
        ROOT / "resources" / "results" / f"{config['recipe']}.tsv",
        config["dataset"]["name"],
        f"{PUBLISHED_AS} {identity_of(effective)}",
    )
    return [] if len(table) else PUBLISHED_METRICS
