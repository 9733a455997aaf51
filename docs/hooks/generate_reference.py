"""Pages that are read off the code: every configuration key, every command, every environment."""

import argparse
import json
import re
import sys
from pathlib import Path

import yaml
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))


def on_files(files, config):
    """mkdocs calls this once it knows the pages; ours join them."""
    pages = {"configuration": configuration(), "commands": commands(), "environments": environments()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def cell(text) -> str:
    """Text that stays within a cell of a table."""
    return re.sub(r"\s+", " ", str(text)).strip().replace("|", "\\|").replace("<", "&lt;")


def accepted(schema: dict) -> str:
    """What a key takes, in words."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(accepted(choice) for choice in schema["anyOf"])
    kinds = schema.get("type", "any")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "items" in schema:
        words += f" of {accepted(schema['items'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([words, *(f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema)])


def rows(schema: dict, path: str, required: bool = False) -> list[str]:
    """One row of the table for each key at or under ``path``."""
    if "properties" in schema:
        below = schema.get("required", [])
        return [
            row for key, child in schema["properties"].items() for row in rows(child, f"{path}.{key}", key in below)
        ]
    default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "(required)" if required else ""
    return [f"| `{path}` | {cell(accepted(schema))} | {default} | {cell(schema.get('description', ''))} |"]


def configuration() -> str:
    """The page of configuration keys, from workflow/schemas."""
    schemas = ROOT / "workflow" / "schemas"
    read = {file.name.split(".")[0]: yaml.safe_load(file.read_text()) for file in sorted(schemas.glob("*.schema.yaml"))}
    top = read["config"]
    head = "| key | takes | default | meaning |\n|---|---|---|---|\n"
    lines = [
        "# Configuration",
        "",
        "Every key, read off `workflow/schemas/`. An unknown key stops the run with the nearest known one.",
        "",
    ]
    plain = [
        row
        for key, child in top["properties"].items()
        if key not in read
        for row in rows(child, key, key in top.get("required", []))
    ]
    lines += ["## Top level", "", head + "\n".join(plain), ""]
    for section in [key for key in top["properties"] if key in read]:
        table = [
            row
            for key, child in read[section].get("properties", {}).items()
            for row in rows(child, f"{section}.{key}", key in read[section].get("required", []))
        ]
        lines += [f"## {section}", "", cell(read[section].get("description", "")), ""]
        lines += [head + "\n".join(table), ""] if table else []
    return "\n".join(lines)


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands under a parser, by name."""
    return next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})


def commands() -> str:
    """The page of commands, from the program's own parser."""
    from genestill.cli import EXIT_CODES, STAGES, build_parser

    lines = ["# Commands", "", "Every rule is one of these; each runs by itself as well.", ""]
    for stage, parser in subparsers(build_parser()).items():
        lines += [f"## genestill {stage}", "", cell(STAGES.get(stage, parser.description)) + ".", ""]
        # A command beside the stages has options of its own and nothing under it.
        for name, command in (subparsers(parser) or {"": parser}).items():
            if name:
                lines += [f"### genestill {stage} {name}", "", cell(command.description or ""), ""]
            lines += ["| option | meaning |", "|---|---|"]
            for action in command._actions:
                if not isinstance(action, argparse._HelpAction):
                    option = ", ".join(action.option_strings) or action.dest
                    meaning = cell((action.help or "") % {"default": action.default}) if action.help else ""
                    value = f" {action.metavar}" if action.metavar else ""
                    needed = " (required)" if action.required else ""
                    lines.append(f"| `{cell(option + value)}` | {meaning}{needed} |")
            lines.append("")
    return "\n".join([*lines, "## Exit codes", "", "```text", EXIT_CODES, "```", ""])


def environments() -> str:
    """The page of conda environments, from envs/."""
    lines = ["# Environments", "", "One file a tool. Without conda, the base environment has all but the peers.", ""]
    for file in sorted((ROOT / "envs").glob("*.yaml")):
        text = file.read_text()
        why = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
        lines += [f"## {file.stem}", "", cell(why), "", "```yaml", text[text.index("channels:") :].strip(), "```", ""]
    return "\n".join(lines)
