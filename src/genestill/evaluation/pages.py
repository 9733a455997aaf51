"""The results of a run as text for a terminal, and as a page with tables that can be sorted and copied."""

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.files import write_text

_NUMBER = re.compile(r"[-+<−]?\d")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: the headings.
        rows: the formatted cells, one per heading in each row.
        title: title of the table.

    Columns of text are aligned to the left, columns of numbers to the right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def of_words(self) -> list[bool]:
        """Whether a column contains text: the first, and every one in which no cell starts with a number."""
        return [
            not column or not any(_NUMBER.match(row[column]) for row in self.rows)
            for column in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Numbers:
    """The numbers at the top of a page: pairs of a formatted number and its description."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """An SVG file, shown in the page; ``words`` are its alternative text."""

    svg: Path
    words: str


@dataclass(frozen=True)
class Downloads:
    """Files to download: pairs of a path and a description."""

    pairs: Sequence[tuple[Path, str]]


@dataclass(frozen=True)
class Folded:
    """Parts of a page that are shown on request."""

    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Heading:
    """A heading."""

    text: str


Block = str | Table | Numbers | Picture | Downloads | Folded | Heading


def write_answer(path: str | Path, title: str, blocks: Sequence[str | Table]) -> str:
    """Write and return ``blocks`` as text, and write them as a page beside it, with the suffix ``.html``.

    Raises `InputError` if ``path`` is an .html file, which the page would replace.
    """
    page = Path(path).with_suffix(".html")
    if page == Path(path):
        raise InputError(f"{path}: the page has this name; give the table another suffix")
    text = text_of(blocks)
    write_text(path, text)
    write_page(page, title, blocks)
    return text


def text_of(blocks: Sequence[str | Table]) -> str:
    """Paragraphs and tables as text, separated by empty lines; the cells of a column have the same width."""
    parts = [block.rstrip("\n") if isinstance(block, str) else _table_text(block) for block in blocks]
    return "\n\n".join(parts) + "\n"


def _table_text(table: Table) -> str:
    rows = [list(table.columns), *map(list, table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    words = table.of_words()
    lines = [
        "  ".join(
            cell.ljust(width) if words[column] else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([table.title, ""] * bool(table.title) + lines)


def write_page(path: str | Path, title: str, blocks: Sequence[Block]) -> None:
    """Write ``blocks`` as an HTML page, atomically; their text is escaped.

    The page loads nothing from outside. It is included unchanged in the first page of the report.
    """
    page = files("genestill.evaluation").joinpath("page.html").read_text(encoding="utf-8")
    content = "\n".join([f"<h1>{escape(title)}</h1>", *(_html(block, Path(path).parent) for block in blocks)])
    # The content is inserted last, so that nothing in it is interpreted as a placeholder.
    write_text(path, page.replace("{{title}}", escape(title)).replace("{{content}}", content))


def _html(block: Block, folder: Path) -> str:
    if isinstance(block, str):
        return "\n".join(f"<p>{escape(part)}</p>" for part in block.strip("\n").split("\n\n"))
    if isinstance(block, Table):
        return _table_html(block)
    if isinstance(block, Heading):
        return f"<h2>{escape(block.text)}</h2>"
    if isinstance(block, Folded):
        inside = "\n".join(_html(one, folder) for one in block.blocks)
        return f"<details><summary>{escape(block.title)}</summary>\n{inside}\n</details>"
    if isinstance(block, Numbers):
        shown = [f"<div><b>{escape(number)}</b><span>{escape(words)}</span></div>" for number, words in block.pairs]
        return '<div class="numbers">' + "".join(shown) + "</div>"
    if isinstance(block, Picture):
        data = base64.b64encode(Path(block.svg).read_bytes()).decode("ascii")
        image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(block.words)}">'
        return f"<figure>{image}</figure>"
    links = [
        f'<li><a href="{escape(os.path.relpath(path, folder))}" data-result="{escape(str(path))}" '
        f'download="{escape(path.name)}">{escape(path.name)}</a>: {escape(words)}</li>'
        for path, words in block.pairs
    ]
    return "<ul>" + "".join(links) + "</ul>"


def _table_html(table: Table) -> str:
    title = escape(table.title)
    caption = f'<caption>{title}<button type="button" class="copy">copy</button></caption>'
    sides = [' class="word"' if words else "" for words in table.of_words()]

    def line(tag: str, cells: Sequence[str]) -> str:
        row = "".join(f"<{tag}{side}>{cell}</{tag}>" for side, cell in zip(sides, cells, strict=True))
        return f"<tr>{row}</tr>"

    head = line("th", [f'<button type="button">{escape(name)}</button>' for name in table.columns])
    body = "\n".join(line("td", [escape(cell) for cell in row]) for row in table.rows)
    return f'<div class="table"><table>{caption}<thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table></div>'
