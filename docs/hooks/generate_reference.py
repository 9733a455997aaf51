"""Generates pages from the code: every configuration key, every command, every environment."""

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
    """Called by mkdocs when it knows the pages; adds these pages."""
    pages = {"configuration": configuration(), "commands": commands(), "environments": environments()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def cell(text) -> str:
    """Text that can be a cell of a table."""
    line = re.sub(r"\s+", " ", str(text)).strip().replace("|", "\\|").replace("<", "&lt;")
    # d__…;p__… would be read as bold.
    return re.sub(r"(?<!`)\b[a-z]__…(;[a-z]__…)*", r"`\g<0>`", line)


def sentence(text: str) -> str:
    """The same with a capital and a full stop."""
    line = cell(text)
    return line[:1].upper() + line[1:] + ("" if line.endswith((".", ":")) else ".") if line else ""


def accepted(schema: dict) -> str:
    """The values that a key accepts, as text."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "anyOf" in schema:
        return " or ".join(accepted(choice) for choice in schema["anyOf"])
    kinds = schema.get("type", "any")
    words = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "items" in schema:
        words += f" of {accepted(schema['items'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([words, *(f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema)])


def rows(schema: dict, path: str, required: bool = False, inherited: frozenset = frozenset()) -> list[str]:
    """One row of the table per key at or under ``path``; ``inherited``: keys with a default from another key."""
    below = schema.get("properties", {})
    found = []
    if not below:
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "(required)" if required else ""
        default = "as in defaults" if path.rpartition(".")[2] in inherited else default
        found.append(f"| `{path}` | {cell(accepted(schema))} | {default} | {cell(schema.get('description', ''))} |")
    needed = schema.get("required", [])
    defaults = frozenset(below.get("defaults", {}).get("properties", {}))
    for key, child in below.items():
        found += rows(
            child, f"{path}.{key}" if path else key, key in needed, inherited if "<name>" in path else defaults
        )
    named = schema.get("additionalProperties")
    if isinstance(named, dict) and "properties" in named:
        found += rows(named, f"{path}.<name>", inherited=inherited)
    return found


def configuration() -> str:
    """The page of configuration keys, from workflow/schemas."""
    from genestill.core.settings import expand

    schemas = ROOT / "workflow" / "schemas"
    read = {
        file.name.split(".")[0]: expand(yaml.safe_load(file.read_text()))
        for file in sorted(schemas.glob("*.schema.yaml"))
    }
    top = read["config"]
    head = "| key | takes | default | meaning |\n|---|---|---|---|\n"
    lines = [
        "# Configuration",
        "",
        "Every key, read off `workflow/schemas/`; a key that is not given has its default. `<name>` is a name of your",
        "choice. An unknown key stops the run with the nearest known one. The unit is at the end of the meaning.",
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
        table = rows(read[section], section)
        lines += [f"## {section}", "", cell(read[section].get("description", "")), ""]
        lines += [head + "\n".join(table), ""] if table else []
    return "\n".join(lines)


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands under a parser, by name."""
    return next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})


COMMANDS_HEAD = """# Commands

Every rule is one of these; each runs by itself as well. `genestill STAGE COMMAND --help` prints the same.

## Exit codes

EXIT_CODES

Snakemake ends with 0 if every job did, and with 1 otherwise; the log of the failed job says which of these it was.

## Completion in the shell

Stages, commands, options and file names are completed after

```bash
source <(genestill --print-completion bash)
```

in `~/.bashrc`. For zsh, in a folder of `$fpath`:

```bash
genestill --print-completion zsh > ~/.zfunc/_genestill
```
"""


# Commands for users; the other commands are called by rules.
BY_HAND = (
    "genestill run --configfile mine.yaml --cores 8",
    "genestill student list",
    "genestill student embed sequences.fa.gz --model had-microbes-23k -o embeddings.parquet",
    "genestill student finetune --model had-microbes-23k --task promoters.tsv --output-model my-classifier",
    "genestill student classify new.fa.gz --model my-classifier -o classes.tsv",
    "genestill student export-onnx --model had-microbes-23k -o student.onnx",
    "genestill student card --model FOLDER --title NAME --summary TEXT --limit SENTENCE --metrics metrics.parquet",
    "genestill reference contigs --contigs new.fna.gz --output-index new.parquet --output-abundance depths.parquet",
    "genestill student predict --model FOLDER --contigs new.fna.gz --index new.parquet --output predictions.parquet",
    "genestill student export --predictions predictions.parquet --index new.parquet --name new --output export",
    "genestill teacher fetch genomeocean-100m --output teachers/genomeocean-100m",
    "genestill evaluation import-predictions --predictions mine.tsv --contigs contigs.parquet --output mine.parquet",
    "genestill evaluation list-published --configuration results/taxdistill/mine/configuration.yaml --name mine",
    "genestill evaluation publish-tables README.md docs/taxdistill.md",
    "genestill reproduce results/taxdistill/mine/labels/provenance/labels.parquet.json",
)


def example(stage: str, name: str, command: argparse.ArgumentParser) -> str:
    """A call of a command: that of `BY_HAND`, else its name with its required options."""
    words = f"genestill {stage} {name}".strip()
    for line in BY_HAND:
        if f"{line} ".startswith(f"{words} "):
            return line
    for action in command._actions:
        if action.required:
            value = action.metavar if isinstance(action.metavar, str) else (action.metavar or (action.dest.upper(),))[0]
            value = value or (str(next(iter(action.choices))) if action.choices else action.dest.upper())
            words += f" {' '.join([*action.option_strings[-1:], value])}"
    return words


def commands() -> str:
    """The page of commands, from the parser of the program."""
    from genestill.cli import EXIT_CODES, STAGES, build_parser

    codes = [line.split(maxsplit=1) for line in EXIT_CODES.splitlines() if line.startswith(" ")]
    table = ["| code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in codes)]
    lines = [COMMANDS_HEAD.replace("EXIT_CODES", "\n".join(table))]
    lines += ["", "## Used by hand", "", "All other commands are called by rules.", "", "```bash", *BY_HAND, "```", ""]
    for stage, parser in subparsers(build_parser()).items():
        lines += [f"## genestill {stage}", "", sentence(STAGES.get(stage, parser.description)), ""]
        # A command outside of the stages has options and no subcommands.
        for name, command in (subparsers(parser) or {"": parser}).items():
            if name:
                lines += [f"### genestill {stage} {name}", "", sentence(command.description or ""), ""]
            lines += ["```text", example(stage, name, command), "```", "", "| option | meaning |", "|---|---|"]
            for action in command._actions:
                if not isinstance(action, argparse._HelpAction):
                    option = ", ".join(action.option_strings) or action.dest
                    meaning = cell((action.help or "") % {"default": action.default}) if action.help else ""
                    value = action.metavar or "|".join(map(str, action.choices or ()))
                    value = f" {value}" if value else ""
                    needed = " (required)" if action.required else ""
                    lines.append(f"| `{cell(option + value)}` | {meaning}{needed} |")
            lines.append("")
    return "\n".join(lines)


def environments() -> str:
    """The page of conda environments, from envs/."""
    lines = ["# Environments", "", "One file a tool. Without conda, the base environment has all but the peers.", ""]
    for file in sorted((ROOT / "envs").glob("*.yaml")):
        text = file.read_text()
        why = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
        lines += [f"## {file.stem}", "", cell(why), "", "```yaml", text[text.index("channels:") :].strip(), "```", ""]
    return "\n".join(lines)
