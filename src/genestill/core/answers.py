"""The last lines of a run: its table, where to read on, and the command of the report."""

from pathlib import Path

from genestill.core.text import read_text


def format_answer(
    table: str | Path, places: dict[str, str | Path], report: str, sentence: str | Path | None = None
) -> str:
    """What a run has found, as text for the terminal.

    Args:
        table: text file, shown whole.
        places: a word -> the file or folder to open; those that are not there are left out.
        report: the command that writes the report.
        sentence: text file whose first line stands above the table; left out where it is not there.

    Returns an empty text where the table is not there: the run had another target.
    """
    if not Path(table).is_file():
        return ""
    shown = {"table": table, **{word: path for word, path in places.items() if Path(path).exists()}, "report": report}
    width = max(map(len, shown)) + 2
    above = [read_text(sentence).partition("\n")[0], ""] if sentence and Path(sentence).is_file() else []
    return "\n".join(["", *above, read_text(table), *(f"{word + ':':<{width}}{what}" for word, what in shown.items())])
