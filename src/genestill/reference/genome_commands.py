"""The commands of the reference stage that simulate or cut genomes: simulation, community, windows, tasks of origin."""

from genestill.core.lineage import RANKS
from genestill.core.options import add_seed, name_and_value
from genestill.core.settings import add_settings, settings_of
from genestill.reference.assembly_commands import add_commands as add_assembly_commands
from genestill.reference.settings import (
    CladeTaskSettings,
    CommunitySettings,
    OriginTaskSettings,
    SimulatedGenomeSettings,
    WindowSettings,
    WithheldSettings,
)


def add_commands(commands) -> None:
    """Add the commands of this module to ``genestill reference``."""
    _add_simulate(commands)
    _add_community(commands)
    _add_species_sets(commands)
    _add_withheld(commands)
    add_assembly_commands(commands)
    _add_windows(commands)
    _add_clade_task(commands)
    _add_origin_task(commands)


def add_genomes(parser) -> None:
    """Add ``--genomes`` and ``--genomes-folder``, for `genomes.read_genomes`."""
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table of genomes: file, and lineage or taxid")
    parser.add_argument("--genomes-folder", metavar="FOLDER", help="folder with the files (default: that of the table)")


def _add_simulate(commands) -> None:
    summary = "simulate genomes with lineages, from a seed"
    parser = commands.add_parser("simulate-genomes", help=summary, description=summary)
    add_seed(parser)
    add_settings(parser, SimulatedGenomeSettings)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for genomes.tsv and *.fna.gz")
    parser.set_defaults(run=_run_simulate)


def _run_simulate(options) -> None:
    from genestill.reference.simulation import write_simulated_genomes

    settings = settings_of(SimulatedGenomeSettings, options)
    write_simulated_genomes(options.output, settings, options.seed)


def _add_community(commands) -> None:
    summary = "cut contigs with abundances, graded novelty and known truth from genomes (simulated or real)"
    parser = commands.add_parser("community", help=summary, description=summary)
    add_genomes(parser)
    parser.add_argument(
        "--lineage-column", metavar="NAME", help="column of the lineages (default: lineage, else the seven ranks)"
    )
    add_seed(parser)
    parser.add_argument(
        "--split-seed",
        type=int,
        metavar="SEED",
        help="seed of the choice of absent genomes: that of another community gives the same reference (default: "
        "--seed)",
    )
    add_settings(parser, CommunitySettings)
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="folder for contigs, abundance, truth and reference"
    )
    parser.set_defaults(run=_run_community)


def _run_community(options) -> dict:
    from pathlib import Path

    from genestill.core.files import read_json
    from genestill.reference.community import write_community

    settings = settings_of(CommunitySettings, options)
    write_community(
        options.genomes,
        options.output,
        settings,
        options.seed,
        options.genomes_folder,
        options.lineage_column,
        options.split_seed,
    )
    return {"checksums": read_json(Path(options.output) / "summary.json")["checksums"]}


def _add_species_sets(commands) -> None:
    summary = "find species that are scored as one: those within the species radius, by the identities of all genomes"
    parser = commands.add_parser("species-sets", help=summary, description=summary)
    add_genomes(parser)
    parser.add_argument("--truth", metavar="TSV", help="ground truth, whose genomes in the folder are compared too")
    parser.add_argument("--output", required=True, metavar="TSV", help="species, set, representative")
    parser.add_argument("--output-identities", required=True, metavar="TSV", help="identities of pairs of genomes")
    parser.set_defaults(run=_run_species_sets)


def _run_species_sets(options) -> None:
    from genestill.reference.identities import write_species_sets

    write_species_sets(
        options.genomes, options.genomes_folder, options.truth, options.output, options.output_identities
    )


def _add_withheld(commands) -> None:
    summary = "choose the clades that virtual references withhold, in a fitting and a judging half that share no family"
    parser = commands.add_parser("withheld", help=summary, description=summary)
    parser.add_argument(
        "--genomes",
        type=name_and_value,
        nargs="+",
        required=True,
        metavar="NAME=TSV",
        help="communities, each with the table of the genomes of its reference",
    )
    parser.add_argument(
        "--lineage-column", metavar="NAME", help="column of the lineages (default: lineage, else the seven ranks)"
    )
    add_settings(parser, WithheldSettings)
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="TSV", help="a row per reference and clade")
    parser.set_defaults(run=_run_withheld)


def _run_withheld(options) -> None:
    from genestill.reference.withheld import write_withheld

    settings = settings_of(WithheldSettings, options)
    genomes = dict(options.genomes)
    write_withheld(genomes, options.lineage_column, settings, options.seed, options.output)


def _add_windows(commands) -> None:
    summary = "cut windows at random positions of genomes, for pretraining and distillation"
    parser = commands.add_parser("windows", help=summary, description=summary)
    parser.add_argument(
        "--genomes", required=True, nargs="+", metavar="TSV", help="tables of genomes: file, and lineage or taxid"
    )
    parser.add_argument(
        "--genomes-folder", metavar="FOLDER", help="folder with the files (default: that of each table)"
    )
    add_settings(parser, WindowSettings)
    parser.add_argument(
        "--without-tests-of",
        choices=RANKS,
        metavar="RANK",
        help="leave out the test genomes of clade-task at this rank",
    )
    parser.add_argument(
        "--region-windows", type=int, default=1, metavar="N",
        help="write regions of up to N window lengths, from which a training cuts windows (default: %(default)s)",
    )  # fmt: skip
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="FASTA", help="the windows")
    parser.set_defaults(run=_run_windows)


def _run_windows(options) -> dict:
    from genestill.core.errors import InputError
    from genestill.core.files import checksums_of
    from genestill.reference.genomes import read_tables_of_genomes
    from genestill.reference.windows import choose_clade, clade_test_genomes, cut_genome_windows

    settings = settings_of(WindowSettings, options)
    genomes = read_tables_of_genomes(options.genomes, options.genomes_folder)
    rank = options.without_tests_of
    tested = clade_test_genomes(genomes, rank, options.seed) if rank else set()
    genomes = [genome for genome in choose_clade(genomes, settings.clade) if genome.name not in tested]
    if not genomes:
        clade = f" of the clade {settings.clade!r}" if settings.clade else ""
        raise InputError(f"{', '.join(options.genomes)}: all genomes{clade} are for the test of the clade task")
    cut_genome_windows(genomes, settings, options.seed, options.output, options.region_windows)
    return {"checksums": checksums_of(genome.path for genome in genomes)}


def _add_clade_task(commands) -> None:
    summary = "make a task table: the clade of a window, tested on held-out genomes"
    parser = commands.add_parser("clade-task", help=summary, description=summary)
    add_genomes(parser)
    add_settings(parser, CladeTaskSettings)
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.set_defaults(run=_run_clade_task)


def _run_clade_task(options) -> dict:
    from genestill.core.files import checksums_of
    from genestill.reference.genomes import read_genomes
    from genestill.reference.windows import write_clade_task

    task = settings_of(CladeTaskSettings, options)
    genomes = read_genomes(options.genomes, options.genomes_folder)
    write_clade_task(genomes, task.rank, task.length, task.number, options.seed, options.output)
    return {"checksums": checksums_of(genome.path for genome in genomes)}


def _add_origin_task(commands) -> None:
    summary = "make a task table: whether a window comes from a plasmid or a chromosome, or from which kind of organism"
    parser = commands.add_parser("origin-task", help=summary, description=summary)
    parser.add_argument(
        "--genomes", required=True, nargs="+", metavar="TSV",
        help="tables of genomes: file, lineage or taxid, and for kingdoms, optionally origin and tested",
    )  # fmt: skip
    parser.add_argument(
        "--genomes-folder", metavar="FOLDER", help="folder with the files (default: that of each table)"
    )
    add_settings(parser, OriginTaskSettings)
    add_seed(parser)
    parser.add_argument("--output", required=True, metavar="TSV", help="columns sequence, label, split")
    parser.set_defaults(run=_run_origin_task)


def _run_origin_task(options) -> dict:
    from genestill.core.files import checksums_of
    from genestill.reference.origin import write_origin_task

    settings = settings_of(OriginTaskSettings, options)
    used = write_origin_task(options.genomes, options.genomes_folder, settings, options.seed, options.output)
    return {"checksums": checksums_of(genome.path for genome in used)}
