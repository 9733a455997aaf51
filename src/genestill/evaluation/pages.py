"""Tables for people: as text for a terminal, and as a page for a report, which shows pages and only offers text."""

from html import escape
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import write_text

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ margin: 1.5rem; color: #222; background: #fff; }}
  pre {{ font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-x: auto; }}
  @media print {{ pre {{ font-size: 8px; white-space: pre-wrap; }} }}
</style>
</head>
<body><pre>{text}</pre></body>
</html>
"""


def write_answer(path: str | Path, title: str, text: str) -> None:
    """Write ``text`` to ``path``, and beside it the same as a page, ``.html`` in place of the suffix."""
    write_text(path, text)
    write_page_beside(path, title, text)


def write_page_beside(path: str | Path, title: str, text: str) -> None:
    """Write ``text`` as an HTML page beside the file ``path``; what stands in it is shown as it is, tags and all.

    Raises `InputError` if ``path`` is an .html file itself, which the page would replace.
    """
    page = Path(path).with_suffix(".html")
    if page == Path(path):
        raise InputError(f"{path}: the page of this table takes that name; give the table another suffix")
    write_text(page, _PAGE.format(title=escape(title), text=escape(text)))
