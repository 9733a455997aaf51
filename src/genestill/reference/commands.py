"""The commands of the reference stage."""


def add_commands(commands) -> None:
    """Add the commands of this stage to ``genestill reference``."""
    _add_simulate(commands)


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
