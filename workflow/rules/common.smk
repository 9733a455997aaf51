import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

# The folder of this file, not of the main Snakefile: the workflow is started from the root, and may be a module of
# another workflow. In the repository the package is beside the workflow; otherwise it is installed, with the workflow.
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
from genestill.core.identity import identity_of_settings
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

# The demo, if no configuration is given. A folder may have a configuration, as in those made by snakedeploy.
DEMO = Path("config", "config.yaml")
if not workflow.overwrite_configfiles:

    configfile: DEMO if DEMO.is_file() else ROOT / DEMO


def checked(function, *arguments):
    """The result of ``function``; an `InputError` stops the run with its message only."""
    try:
        return function(*arguments)
    except InputError as error:
        raise WorkflowError(str(error))


RECIPES = ROOT / "config" / "recipes"
SCHEMAS = ROOT / "workflow" / "schemas"
# The configuration of the user, from which those of the communities of a benchmark are completed as well.
GIVEN = config
config = checked(accept, GIVEN, ROOT)
# Snakemake clears PYTHONPATH in conda environments, so the path of the package is set in each job.
SOURCE = source_folder()
# Without conda, rules call the programs beside the Python that runs Snakemake, whether or not they are on the PATH.
WITH_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PROGRAMS = (
    ""
    if WITH_CONDA
    else f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; '
)
shell.prefix(
    f"set -euo pipefail; {PROGRAMS}export PYTHONPATH={shlex.quote(str(SOURCE))}; "
)

GPUS = count_gpus()
# Without a limit, Snakemake would start all GPU jobs at once on one GPU; --resources gpu=N overrides it. Without a GPU,
# they run on the CPU, with one core each. A report and a lint have no cores.
try:
    CORES = workflow.cores
except WorkflowError:
    CORES = None
workflow.global_resources.setdefault("gpu", GPUS or CORES or 1)
# Resolved here, because it depends on the machine; the identity of the run below changes with it.
if "dna" in config and config["dna"]["teacher_features"] is None:
    allowed = workflow.global_resources["gpu"]
    computed = (
        GPUS
        and getattr(allowed, "value", allowed)
        and not config["teacher"]["embeddings"]
    )
    config["dna"]["teacher_features"] = "computed" if computed else "stored"
# Used with every gpu resource; with None the resource is not set, and a cluster may assign any GPU.
GPU_MODEL = config["teacher"]["gpu_model"]
# With a GPU, threads prepare the batches of a training ahead.
TRAINING_THREADS = 5 if GPUS else 1

RESULTS = results_folder(config)
# The configuration of the run, including defaults; its identity changes with every setting that may affect results, and
# with the version.
EFFECTIVE = effective_configuration(config, RECIPES, SCHEMAS)
IDENTITY = identity_of_settings(EFFECTIVE)
# Predictions of these settings and this version that are published: a run reads them and does not make them again, so
# that a long run may be continued on another machine.
PUBLISHED_PREDICTIONS = ROOT / "resources" / "results" / "predictions" / IDENTITY


def plan_only_after_jobs():
    """Remove the default limit of 100 submissions per second; a limit that the user sets is kept.

    With a limit, Snakemake 9.27 plans once per timespan for every job that has finished: after 600 jobs, this takes a
    quarter of a core.
    """
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


# Files that several stages read and that depend on the configuration.
CONTIGS = (
    config["dataset"]["contigs"] or f"{RESULTS}/reference/community/contigs.fna.gz"
)
UPDATE_FROM = config["labels"]["update_from"]
SEARCH_STEP = "update_labels" if UPDATE_FROM else "search_contigs"
HITS = [] if config["dataset"]["labels"] else f"{RESULTS}/labels/hits.parquet"
# Novelty is estimated from hits, which are missing for imported labels.
WITH_LEDGER = bool(HITS) and config["student"]["objective"] == "posterior"
TEACHER = f"{RESULTS}/teacher/{config['teacher']['name']}"
RANDOM_TEACHER = f"{TEACHER}/random"


def teacher_shards(sequences, representation="sequence", teacher=None):
    """The outputs of a teacher (by default that of the run) for a set of sequences, one file per shard."""
    return [
        f"{teacher or TEACHER}/{sequences}/{representation}/{shard}.parquet"
        for shard in range(config["teacher"]["shards"])
    ]


def device(wildcards, resources):
    """The option --device of rules that request a GPU; with ``--resources gpu=0`` they use the CPU."""
    return "auto" if resources.gpu else "cpu"


def device_of_training(wildcards, resources):
    """`device`, and whether to compile the model, which is only useful on a GPU."""
    return device(wildcards, resources) + (
        " --compile" if resources.gpu and config["teacher"]["compile"] else ""
    )


# Snakemake does not detect changes of parameters that depend on resources, like these two.
def check_settings(wildcards, resources):
    """Options of the check of a teacher. A passed check is not repeated: `preflight` checks its loss before a run."""
    return options(**config["teacher"]["check"])


def embedding_work(wildcards, resources):
    """Options that affect how the teacher is run but not its outputs."""
    return options(
        batch_tokens=config["teacher"]["batch_tokens"],
        processes=config["teacher"]["processes"],
    )


def options(**values):
    """Command-line options for the values that are set: ``abundance="a.tsv"`` gives ``--abundance a.tsv``.

    True gives ``--name``, False ``--no-name``; None and empty values give no option.
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
    """Input of the target of a recipe; with the configuration of another recipe, an error is raised."""

    def files_of_recipe(wildcards):
        checked(require_recipe, recipe, config)
        return files

    return files_of_recipe


def stored_embeddings(wildcards):
    """Files of another program with a representation of a set of sequences."""
    place = STORED[wildcards.set]
    return checked(find_stored, wildcards.set, place, wildcards.representation)


def community_configuration(name, differences):
    """The configuration of one community of a benchmark: that of the user, with the differences of the community.

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
    """Community -> its results and the table of its reference; simulated ones only if no other has genomes."""
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
    """Options of every command of the evaluation: the compared models, in the order of the tables."""
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
    """The files that a peer needs in addition to the labels, by option."""
    return {
        option: file.format(seed=wildcards.seed)
        for need in CONTIG_PEERS[peer_at(wildcards.model)[0]].needs
        for option, file in PEER_EVIDENCE[need].items()
    }


def student_with(objective):
    """Regular expression for the name of the student, if it has this objective; else it matches nothing."""
    student = config["student"]
    return re.escape(student["name"]) if student["objective"] == objective else "(?!)"


def kind_of_model(model):
    """The kind of a model of the benchmark in tables, independent of settings or thresholds in its name."""
    return KIND_OF_MODEL.get(peer_at(published_variant(model)[0])[0], "control")


def predictions_of_runs(runs, folder=RESULTS):
    """The tables of predictions of runs (model, seed)."""
    return [
        f"{folder}/student/{model}.seed{seed}/predictions.parquet"
        for model, seed in runs
    ]


def compared(runs, folder=RESULTS):
    """Options with the predictions of runs (model, seed), by the kind of the model."""
    files = predictions_of_runs(runs, folder)
    return " ".join(
        options(**{kind_of_model(model): f"{model}@{seed}={file}"})
        for (model, seed), file in zip(runs, files, strict=True)
    )


def evidence_tables(wildcards):
    """Source of evidence -> its table, for the configured sources that are available."""
    return {
        name: f"{RESULTS}/{EVIDENCE[name].table}"
        for name in config["student"]["evidence"]
        if HITS or not EVIDENCE[name].behind_labels
    }


def evidence_options(wildcards, input):
    """The options with the tables of `evidence_tables`."""
    return options(**{name: input[name] for name in EVIDENCE if name in input.keys()})


def genomes_of_fragments(wildcards, input):
    """The options with the genomes from which fragments are cut, if any."""
    folder = GENOMES_FOLDER if input.genomes else None
    return options(genomes=input.genomes, genomes_folder=folder)


def fragments_of(model):
    """Number of fragments per genome for the training of a corrector of the benchmark."""
    return FRAGMENTS.get(model, STUDENT["fragments"])


def unless_ablated(wildcards, what, files):
    """``files``, or nothing if the model of the benchmark is an ablation of ``what``."""
    return [] if what in ABLATIONS[wildcards.model] else files


def evidence_unless_ablated(wildcards):
    """The `evidence_tables` that are not removed in the model of the benchmark."""
    ablated = ABLATIONS[wildcards.model]
    tables = evidence_tables(wildcards)
    return {name: table for name, table in tables.items() if name not in ablated}


def taxonomy_source(wildcards):
    """The source of the taxonomy: an existing database, genomes, a taxonomy dump, or the labels."""
    if REFERENCE["database"]:
        return {"database": f"{RESULTS}/reference/database"}
    if REFERENCE["taxdump"] and (IMPORTED_LABELS or ONLY_SCORES):
        # Labels and predictions may contain taxa without genomes: the whole dump is used.
        return {}
    return {"genomes": GENOMES} if GENOMES else {"labels": IMPORTED_LABELS}


def database_source(wildcards):
    """The source of the database: empty for an existing database of the user."""
    if is_downloaded(REFERENCE["database"]):
        return {"ready": str(Path(REFERENCE["database"]).parent)}
    if REFERENCE["database"]:
        return {}
    return {
        "proteins": f"{RESULTS}/reference/proteins/summary.json",
        "taxonomy": f"{RESULTS}/reference/taxonomy",
    }


def peer_environment(name):
    """Input of rules that call a peer: its virtual environment, or nothing if the peer comes from conda."""
    if WITH_CONDA:
        return []
    return f".snakemake/peers/{name}.made"


def peer_program(name, program):
    """The program of a peer, for the shell command of a rule."""
    return (
        f".snakemake/peers/{name}/bin/{program}" if peer_environment(name) else program
    )


def flattened(values):
    """The values, and those of lists among them."""
    return [
        one
        for value in values
        for one in (value if isinstance(value, list) else [value])
    ]


def is_downloaded(path):
    """Whether a file is downloaded by a rule of this workflow and not given by the user."""
    return isinstance(path, str) and path.startswith("resources/downloads/")


def claim_folders():
    """Refuse a second run that writes into the same folders. Snakemake's lock is off because it outlives killed runs.

    The lock includes the folders of all files that the jobs of this run write: results, also of the communities of a
    benchmark, downloads, environments of peers, logs and benchmark files.
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
    """Write the configuration of the run, including defaults, to its results."""
    write_text(
        f"{RESULTS}/configuration.yaml",
        yaml.safe_dump(EFFECTIVE, sort_keys=False, allow_unicode=True),
    )


def published_copy(file):
    """The published copy of a table of predictions in the results."""
    return str(PUBLISHED_PREDICTIONS / Path(file).relative_to(RESULTS))


def published_or_made(files):
    """Tables of predictions: their published copies where these exist, else those that the run makes."""
    copies = map(published_copy, files)
    return [
        copy if Path(copy).exists() else file
        for file, copy in zip(files, copies, strict=True)
    ]


def unpublished(wildcards):
    """What `publish` reads, or nothing if the figures of these settings and this version are already published."""
    from genestill.evaluation.results import standing

    table = standing(
        ROOT / "resources" / "results" / f"{config['recipe']}.tsv",
        config["dataset"]["name"],
        f"{PUBLISHED_AS} {IDENTITY}",
    )
    found = {
        "metrics": PUBLISHED_METRICS,
        "predictions": list(map(published_copy, PREDICTIONS)),
        "outcome_counts": PUBLISHED_COUNTS,
    }
    return dict.fromkeys(found, []) if len(table) else found
