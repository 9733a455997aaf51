"""The commands of the reference stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill reference``."""
    _add_simulate(commands)
    _add_community(commands)


def _add_simulate(commands) -> None:
    summary = "a small biosphere that never was: genomes with lineages, from a seed"
    parser = commands.add_parser("simulate", help=summary, description=summary)
    parser.add_argument("--seed", type=int, default=1, help="seed of every random number (default 1)")
    counts = {"phyla": 4, "classes": 5, "orders": 6, "families": 8, "genera": 14, "species": 28, "genomes": 40}
    for name, count in counts.items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"{name} in all (default {count})")
    parser.add_argument(
        "--genome-length", type=int, default=200_000, metavar="BP", help="base pairs of a genome (default 200000)"
    )
    parser.add_argument(
        "--transfer",
        type=float,
        default=0.015,
        metavar="SHARE",
        help="share of the genes of a species that come from other clades (default 0.015)",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder for genomes.tsv and *.fna.gz")
    parser.set_defaults(run=_run_simulate)


def _run_simulate(options) -> None:
    from dataclasses import fields

    from genestill.reference.simulation import BiosphereSettings, write_biosphere

    settings = BiosphereSettings(**{field.name: getattr(options, field.name) for field in fields(BiosphereSettings)})
    write_biosphere(options.output, settings, options.seed)


def _add_community(commands) -> None:
    summary = "contigs with abundances, graded novelty and known truth, cut from genomes (simulated or real)"
    parser = commands.add_parser("community", help=summary, description=summary)
    parser.add_argument("--genomes", required=True, metavar="TSV", help="table with file and lineage of each genome")
    parser.add_argument("--folder", metavar="FOLDER", help="where the files lie (default: beside the table)")
    parser.add_argument(
        "--lineage-column", metavar="NAME", help="column of the lineages (default: lineage, else the seven ranks)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of every random number (default 1)")
    counts = {
        "samples": (6, "samples with abundances"),
        "contigs": (5000, "contigs at most"),
        "minimum-length": (1000, "base pairs of the shortest contig"),
        "maximum-length": (50_000, "base pairs of the longest contig"),
        "median-length": (3500, "median of the log-normal lengths before the limits, base pairs"),
    }
    for name, (number, help_text) in counts.items():
        parser.add_argument(f"--{name}", type=int, default=number, metavar="N", help=f"{help_text} (default {number})")
    shares = {
        "length-spread": (1.0, "standard deviation of the log of the lengths"),
        "exact": (0.58, "share of community genomes that are in the reference"),
        "known": (0.18, "share of which another assembly of the species is"),
        "species": (0.12, "share whose species the reference lacks"),
        "genus": (0.08, "share whose genus the reference lacks"),
        "family": (0.04, "share whose family the reference lacks"),
        "decoys": (0.3, "share of all genomes that are only in the reference"),
        "dropout": (0.15, "chance that a genome is absent from a sample"),
    }
    for name, (number, help_text) in shares.items():
        parser.add_argument(
            f"--{name}", type=float, default=number, metavar="X", help=f"{help_text} (default {number})"
        )
    parser.add_argument(
        "--output", required=True, metavar="FOLDER", help="folder for contigs, abundance, truth and reference"
    )
    parser.set_defaults(run=_run_community)


def _run_community(options) -> None:
    from dataclasses import fields

    from genestill.reference.community import CommunitySettings, write_community

    settings = CommunitySettings(**{field.name: getattr(options, field.name) for field in fields(CommunitySettings)})
    write_community(options.genomes, options.output, settings, options.seed, options.folder, options.lineage_column)
