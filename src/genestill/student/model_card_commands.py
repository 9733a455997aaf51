"""The command that writes the model card of a student."""

from pathlib import Path


def add_commands(commands) -> None:
    """Add ``genestill student card``."""
    summary = "write the model card of a student: figures with intervals, teacher, training, limits"
    parser = commands.add_parser("card", help=summary, description=summary)
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the student; README.md is written into it")
    parser.add_argument(
        "--output", metavar="FOLDER", help="write the card to a copy of the student instead (a release)"
    )
    parser.add_argument("--title", required=True, help="title of the card")
    parser.add_argument("--summary", required=True, help="a paragraph for readers who do not know the student")
    parser.add_argument(
        "--limit", required=True, nargs="+", action="extend", help="a limit of the student; may be given more than once"
    )
    parser.add_argument(
        "--metrics",
        metavar="PARQUET",
        help="metrics of the student; without them, the card states that it was not measured",
    )
    parser.add_argument(
        "--metrics-model", metavar="NAME", help="name of the model in the metrics, if there are several"
    )
    parser.add_argument("--measured-on", default="", metavar="TEXT", help="source of the figures")
    parser.add_argument("--training", metavar="JSON", help="JSON object on the training: hardware, hours, steps, …")
    parser.add_argument("--licence", default="mit", help="of the weights (default: %(default)s)")
    parser.set_defaults(run=_run_card)


def _run_card(options) -> None:
    import shutil

    from genestill.core.errors import InputError
    from genestill.core.files import folder_aside, read_json, write_json
    from genestill.core.provenance import find_record
    from genestill.core.reproduction import read_record
    from genestill.core.table_schemas import METRICS
    from genestill.core.tables import read_table
    from genestill.student.model_card import Card, write_model_card

    figures = read_table(options.metrics, METRICS) if options.metrics else None
    if figures is not None and options.metrics_model:
        figures = figures[figures["model"] == options.metrics_model]
    place = find_record(options.model)
    record = read_record(place) if place is not None else None
    card = Card(
        title=options.title,
        summary=options.summary,
        limits=options.limit,
        licence=options.licence,
        training=read_json(options.training) if options.training else {},
        record=record,
        figures=figures,
        figures_source=options.measured_on,
    )
    if not Path(options.model).is_dir():
        raise InputError(f"{options.model}: no such folder; expected a student")
    if options.output is None:
        write_model_card(options.model, card)
        return
    with folder_aside(options.output) as release:
        shutil.copytree(options.model, release, dirs_exist_ok=True)
        if record is not None:
            write_json(release / "provenance.json", record)
        write_model_card(release, card)
