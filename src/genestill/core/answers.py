"""The last lines of a run: its table, the paths of results, and the command for the report."""

from pathlib import Path

from genestill.core.text import read_text


def format_answer(
    table: str | Path, places: dict[str, str | Path], report: str, sentence: str | Path | None = None
) -> str:
    """Format the main result of a run as text for the terminal.

    Args:
        table: text file, shown completely.
        places: label -> file or folder; paths that do not exist are left out.
        report: the command that writes the report.
        sentence: text file whose first line is shown above the table, if the file exists.

    Returns:
        The text; empty if the table does not exist, because the run had another target.
    """
    if not Path(table).is_file():
        return ""
    shown = {"table": table, **{word: path for word, path in places.items() if Path(path).exists()}, "report": report}
    width = max(map(len, shown)) + 2
    above = [read_text(sentence).partition("\n")[0], ""] if sentence and Path(sentence).is_file() else []
    return "\n".join(["", *above, read_text(table), *(f"{word + ':':<{width}}{what}" for word, what in shown.items())])
