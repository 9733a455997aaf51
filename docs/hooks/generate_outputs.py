"""Generates the page of output files: every file, and every column with its type, unit and meaning."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pyarrow as pa
import yaml
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

HEAD = """# Output files

All files are under `results/<recipe>/<dataset>/`. Words in <…> stand for names of your configuration. A file gets
its final name when it is complete. Text tables are separated by tabs and have a header line; an empty field, and null
in a Parquet table, mean that there is no value. Parquet files also contain the meaning and the unit of each column, in
the metadata of its field. Values are between 0 and 1 where the unit is a share or a probability. The benchmark of
correctors has the results for contigs that were held out from training under `new/`, in the same files.
"""


def on_files(files, config):
    """Called by mkdocs when it knows the pages; adds this page."""
    files.append(File.generated(config, "reference/outputs.md", content=page()))
    return files


def groups() -> list[dict]:
    """The content of docs/hooks/outputs.yaml, by groups."""
    return yaml.safe_load((ROOT / "docs" / "hooks" / "outputs.yaml").read_text(encoding="utf-8"))


def entries() -> list[dict]:
    """All files of all groups."""
    return [entry for group in groups() for entry in group["files"]]


def places(entry: dict) -> list[str]:
    """All possible paths of a file."""
    return [entry["path"], *entry.get("also", [])]


def pattern(place: str) -> re.Pattern:
    """``student/<student>/model/*`` as a regular expression over whole paths."""
    parts = re.split(r"(<[^>]*>|\*)", place)
    return re.compile("".join(r"[^/]+" if part[:1] in ("<", "*") else re.escape(part) for part in parts))


def columns(entry: dict) -> list[tuple[str, str, str, str]] | None:
    """(name, type, unit, meaning) of every column of a file; None for a file without columns."""
    if "schema" in entry:
        return [
            (field.name, _type(field.type), *(field.metadata.get(key, b"").decode() for key in (b"unit", b"meaning")))
            for field in schema(entry["schema"])
        ]
    listed = entry.get("columns") or entry.get("fields")
    return listed and [(name, *words) for name, words in listed.items()]


def schema(name: str) -> pa.Schema:
    """A schema of genestill.core.table_schemas, or of ``module:NAME``; for functions of a size, that of size 1."""
    module, _, attribute = name.rpartition(":")
    found = getattr(importlib.import_module(module or "genestill.core.table_schemas"), attribute)
    return found(1) if inspect.isfunction(found) else found


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    shown = {}
    for group in groups():
        lines += [f"## {group['title']}", ""]
        for entry in group["files"]:
            lines += _entry(entry, shown)
    return "\n".join(lines)


def _entry(entry: dict, shown: dict[str, str]) -> list[str]:
    lines = [f"### `{entry['path']}`", "", " ".join(entry["is"].split())]
    if "by" in entry:
        lines[-1] += f" Made by {', '.join(f'`{name}`' for name in entry['by'].split(', '))}."
    if "also" in entry:
        lines[-1] += f" Of the same form: {', '.join(f'`{place}`' for place in entry['also'])}."
    lines.append("")
    rows = columns(entry)
    if not rows:
        return lines
    first = shown.setdefault(entry.get("schema", entry["path"]), entry["path"])
    if first != entry["path"]:
        return [*lines, f"Columns: as in `{first}`.", ""]
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {' | '.join(map(_cell, words))} |" for name, *words in rows]
    return [*lines, ""]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_fixed_size_list(kind):
        return f"vector of {_type(kind.value_type)}"
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
