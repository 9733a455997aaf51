"""Files that other people's tools read (citation, changelog, workflow catalogue, navigation), and what every rule does.

cff-1.2.0.schema.json is the schema of the Citation File Format 1.2.0, unchanged (CC-BY-4.0).
"""

import datetime
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_is_valid_in_the_citation_file_format():
    schema = json.loads((Path(__file__).parent / "cff-1.2.0.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(CITATION)


def test_the_citation_agrees_with_the_project():
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]


def test_every_recipe_has_its_paper_in_the_citation():
    notes = " ".join(reference.get("notes", "") for reference in CITATION["references"])
    for recipe in (ROOT / "config" / "recipes").glob("*.yaml"):
        assert re.search(rf"[Rr]ecipe {recipe.stem}\b", notes), recipe.stem


def test_every_reference_has_a_doi_or_another_identifier():
    for reference in CITATION["references"]:
        assert "doi" in reference or reference["identifiers"], reference["title"]


def test_the_changelog_keeps_its_format():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Changelog"
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0].startswith(("## [Unreleased]", f"## [{PROJECT['version']}]"))
    for line in versions:
        released = re.fullmatch(r"## \[(Unreleased|\d+\.\d+\.\d+)\](?: - (.+))?", line)
        assert released, line
        if released[2] not in (None, "unreleased"):
            datetime.date.fromisoformat(released[2])
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds <= {f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}


def test_the_workflow_catalogue_finds_its_required_files():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    assert usage["report"] is True
    for needed in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (ROOT / needed).is_file()


def test_pre_commit_checks_what_make_lint_checks():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    commands = [line.removeprefix("\t$(BIN)/") for line in recipe.splitlines()]
    of_make = {re.sub(r"( \.| Snakefile workflow)$", "", command) for command in commands}
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    entries = {hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    assert {entry.removesuffix(" --force-exclude") for entry in entries} == of_make


def test_every_page_is_in_the_navigation_and_every_entry_exists():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = set(re.findall(r":\s+([\w/-]+\.md)", text))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    generated = {f"reference/{name}.md" for name in ("configuration", "outputs", "commands", "environments")}
    assert shown == pages | generated


def test_every_configuration_is_in_the_readme_of_its_folder():
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in (ROOT / "config").glob("*.yaml") if f"`{file.name}`" not in text] == []


def test_links_between_the_files_at_the_root_are_valid():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md"):
        page = ROOT / name
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{name}: {target}"


RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_a_job_that_ran_out_of_memory_is_restarted_with_more(file):
    asked = re.findall(r"^ +mem_mb=(.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    grows = r"lambda wildcards, attempt: \d+ \* attempt,|lambda wildcards, input, attempt: memory_mb\("
    assert [text for text in asked if not re.fullmatch(grows, text)] == []


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_a_rule_that_requests_a_gpu_passes_the_device_to_its_command(file):
    blocks = re.split(r"^ *(?:use )?rule ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    wrong = [
        block.split(":", 1)[0]
        for block in blocks
        if re.search(r"^ +gpu=", block, re.MULTILINE)
        and not ("device=device" in block and "--device {params.device}" in block)
    ]
    assert wrong == []
