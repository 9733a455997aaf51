"""The commands of published results: ``publish``, ``standing`` and ``publish-tables``."""

from genestill.core.options import name_and_value


def add_commands(commands) -> None:
    """Add the commands of this module to ``genestill evaluation``."""
    _add_publish(commands)
    _add_standing(commands)
    _add_tables(commands)


def _add_run(parser) -> None:
    parser.add_argument("--configuration", required=True, metavar="YAML", help="configuration.yaml of the results")
    parser.add_argument("--name", required=True, help="name of the configuration in the table")
    parser.add_argument("--results", default="resources/results", metavar="FOLDER", help="(%(default)s)")


def _add_publish(commands) -> None:
    summary = "write the figures of a run into the table of published results, cell by cell"
    parser = commands.add_parser("publish", help=summary, description=summary)
    parser.add_argument(
        "--metrics",
        nargs="*",
        default=[],
        metavar="PARQUET",
        help="tables of metrics of the run; none if its cells are published already",
    )
    _add_run(parser)
    parser.add_argument("--teacher", required=True, metavar="NAME", help="teacher of the measured student, or none")
    parser.add_argument("--variant", default="", metavar="NAME=VALUE", help="values that all rows have in common")
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="for several communities: means over seeds, fewer metrics",
    )
    parser.add_argument(
        "--outcome-counts",
        nargs="*",
        default=[],
        metavar="PARQUET",
        help="outcome counts of these communities, for intervals over genomes and trainings",
    )
    parser.add_argument("--compared-with", metavar="MODEL", help="with outcome counts: this model minus each other one")
    parser.add_argument(
        "--cost",
        type=name_and_value,
        nargs="+",
        action="extend",
        default=[],
        metavar="MODEL=TSV",
        help="Snakemake's benchmark files of the steps that make a model; MODEL@DATASET=TSV: of its runs on a data set",
    )
    parser.set_defaults(run=_run_publish)


def _run_publish(options) -> None:
    from pathlib import Path

    from genestill.core.files import read_json
    from genestill.core.logs import logger
    from genestill.core.provenance import find_record
    from genestill.evaluation.results import Run, publish

    recipe, _, configuration = _identify(options)
    if not options.metrics:
        logger.info("the figures of %s are published already; nothing is written", configuration)
        return
    costs: dict[str, list[Path]] = {}
    for model, file in options.cost:
        costs.setdefault(model, []).append(Path(file))
    record = find_record(options.metrics[0])
    commit = (read_json(record).get("commit") or "") if record else ""
    run = Run(
        recipe,
        configuration,
        options.teacher,
        commit,
        costs,
        options.variant,
        options.benchmark,
        options.outcome_counts,
        options.compared_with,
    )
    publish(options.metrics, run, Path(options.results) / f"{recipe}.tsv")


def _add_standing(commands) -> None:
    summary = "print the published figures that were measured with a configuration and this version"
    parser = commands.add_parser("list-published", help=summary, description=summary)
    _add_run(parser)
    parser.set_defaults(run=_run_standing)


def _run_standing(options) -> None:
    from pathlib import Path

    from genestill.evaluation.results import standing

    recipe, dataset, configuration = _identify(options)
    table = standing(Path(options.results) / f"{recipe}.tsv", dataset, configuration)
    if len(table):
        print(table.to_csv(sep="\t", index=False), end="")


def _identify(options) -> tuple[str, str, str]:
    """Recipe, data set and identity of the run given by the options."""
    from genestill.core.configuration import read_yaml
    from genestill.core.errors import InputError
    from genestill.core.identity import identity_of_settings

    effective = read_yaml(options.configuration)
    try:
        recipe, dataset = effective["recipe"], effective["dataset"]["name"]
    except (KeyError, TypeError):
        raise InputError(f"{options.configuration}: has no recipe or no dataset; is it a configuration?") from None
    return recipe, dataset, f"{options.name} {identity_of_settings(effective)}"


def _add_tables(commands) -> None:
    summary = "make the marked tables of Markdown pages from the published results"
    parser = commands.add_parser("publish-tables", help=summary, description=summary)
    parser.add_argument("pages", nargs="+", metavar="MD", help="pages with <!-- results: … --> and <!-- end -->")
    parser.add_argument("--results", default="resources/results", metavar="FOLDER", help="(%(default)s)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 3 if a page is not up to date")
    parser.set_defaults(run=_run_tables)


def _run_tables(options) -> None:
    from genestill.core.errors import CheckFailed
    from genestill.core.logs import logger
    from genestill.evaluation.result_tables import write_tables

    changed = write_tables(options.pages, options.results, options.check)
    if changed and options.check:
        raise CheckFailed(f"{', '.join(changed)}: tables differ from {options.results}; run publish-tables")
    logger.info("%d of %d pages changed", len(changed), len(options.pages))
