"""The last lines of a run: its table, where to read on, and the command of the report."""

from pathlib import Path

from genestill.core.text import read_text


def format_answer(table: str | Path, places: dict[str, str | Path], report: str) -> str:
    """What a run has found, as text for the terminal.

    Args:
        table: text file, shown whole.
        places: a word -> the file or folder to open; those that are not there are left out.
        report: the command that writes the report.

    Returns an empty text where the table is not there: the run had another target.
    """
    if not Path(table).is_file():
        return ""
    shown = {"table": table, **{word: path for word, path in places.items() if Path(path).exists()}, "report": report}
    width = max(map(len, shown)) + 2
    return "\n".join(["", read_text(table), *(f"{word + ':':<{width}}{what}" for word, what in shown.items())])
