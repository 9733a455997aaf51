"""Every command that README and documentation show exists: its own program parses it, or dry-runs it."""

import argparse
import functools
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from genestill.cli import build_parser
from snakemake_process import run_snakemake

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md", "Makefile")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs" / "hooks").glob("*.py")),
    *sorted((ROOT / "config").glob("*.yaml")),
]
CONFIGURATIONS = {
    "config/mine.yaml": "the reader writes it; README shows what is in it",
    "lake.yaml": "the reader writes it; the page shows what is in it",
    "lake-r232.yaml": "the same, with a new release of the reference",
}
# Command lines that are not checked, and why.
UNCHECKED: dict[str, str] = dict.fromkeys(
    ("pip install .", "pip install '.[workflow]'"), "tests/test_wheel.py builds the wheel and runs it"
) | dict.fromkeys(
    ("echo 'int mkl_serv_intel_cpu_true(void) { return 1; }' > mkl.c", "gcc -shared -fPIC -o mkl.so mkl.c"),
    "needs a compiler, and has an effect only on a processor of AMD",
)
# Configurations whose inputs are not part of the project: their commands are parsed, not dry-run.
WITHOUT_INPUTS = (
    "community",
    "benchmark",
    "mrna-real",
    "mrna-full",
    "mrna-published",
    "mrna-stability",
    "had-real",
    "seqlens-real",
    "had-full",
    "had-published",
    "mine",
    "lake",
    "lake-r232",
    "cami2-strain-madness",
)
PROGRAMS = ("genestill", "snakemake", "make")


def fenced(text: str) -> list[str]:
    """Command lines of the blocks marked bash, console or sh, continued lines joined, comments left out."""
    blocks = re.findall(r"^[ ]*```(?:bash|console|sh)\n(.*?)^[ ]*```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip() and not line.strip().startswith("#")]


def inline(text: str) -> list[str]:
    """Command lines in running text: `make demo`, and after a # in a configuration."""
    prose = re.sub(r"^[ ]*```.*?^[ ]*```", "", text, flags=re.MULTILINE | re.DOTALL)
    programs = "|".join(PROGRAMS)
    quoted = re.findall(rf"(?<!`)`((?:\S+=\S+ )?(?:\.venv/bin/)?(?:{programs}) [^`\n]+)`", prose)
    return quoted + re.findall(rf"^#\s+((?:{programs}) .*-.*)$", text, flags=re.MULTILINE)


def words_of(line: str) -> list[str]:
    """A command line as words: without settings of the environment, comments, redirections and .venv/bin/."""
    inside = re.fullmatch(r"source <\((.*)\)", line)
    words = shlex.split(inside[1] if inside else line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    words = words[: words.index(">")] if ">" in words else words
    return [words[0].removeprefix(".venv/bin/"), *words[1:]]


def shown(find) -> list:
    found = {}
    for page in PAGES:
        for line in find(page.read_text(encoding="utf-8")):
            found.setdefault(line, pytest.param(line, id=f"{page.relative_to(ROOT)}: {line[:60]}"))
    return list(found.values())


BLOCKS, PHRASES = shown(fenced), shown(inline)


parser_of_program = functools.cache(build_parser)
parser_of_snakemake = functools.cache(get_argument_parser)


def parse_genestill(words: list[str], whole: bool) -> None:
    """Parse as the program does; of a phrase that is not ``whole``, stage, command and options must exist."""
    words = [re.sub(r"^N$", "1", word) for word in words]
    if whole:
        try:
            parser_of_program().parse_args(words)
        except SystemExit as end:
            if end.code:
                pytest.fail(f"genestill {shlex.join(words)}: the parser refuses it")
        return
    parser = parser_of_program()
    for word in words:
        below = next((action.choices for action in parser._actions if action.nargs == argparse.PARSER), None)
        if word.startswith("-"):
            assert word in parser._option_string_actions, f"no option {word}"
        elif word.isupper() or word.startswith(("<", "…")):  # genestill STAGE COMMAND
            return
        elif below is not None:
            assert word in below, f"{word!r} is none of {', '.join(below)}"
            parser = below[word]


def parse_snakemake(words: list[str]):
    """Parse with Snakemake's own parser; files and folders that the command names must exist."""
    try:
        options = parser_of_snakemake().parse_args(words)
    except SystemExit:
        pytest.fail(f"snakemake {shlex.join(words)}: Snakemake refuses it")
    for file in options.configfile or []:
        assert (ROOT / file).is_file() or str(file) in CONFIGURATIONS or "<" in str(file), file
    if options.workflow_profile:
        assert (ROOT / options.workflow_profile / "config.yaml").is_file()
    rules = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    for target in options.targets:
        assert "/" in target or re.search(rf"^ *rule {target}:", rules, re.MULTILINE), f"no rule {target}"
    return options


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def check(line: str, whole: bool) -> None:
    program, *words = words_of(line)
    if program == "genestill":
        parse_genestill(words, whole)
    elif program == "snakemake":
        # A phrase may contain N for a number.
        parse_snakemake([re.sub(r"^N$", "1", word) for word in words])
    elif program == "make":
        assert [word for word in words if "=" not in word and word not in make_targets()] == []
    else:
        assert line in UNCHECKED, f"{line!r}: neither checked nor listed with a reason"


@pytest.mark.parametrize("line", BLOCKS)
def test_a_command_of_a_block_exists(line):
    check(line, whole=True)


@pytest.mark.parametrize("line", PHRASES)
def test_a_command_in_running_text_exists(line):
    check(line, whole=False)


def test_no_page_hides_commands_in_a_block_without_a_language():
    hidden = {}
    for page in PAGES:
        if page.suffix == ".md":
            text = re.sub(r"^[ ]*```[a-z]+\n.*?^[ ]*```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
            hidden[page.name] = re.findall(
                rf"^\s+(?:\.venv/bin/)?(?:{'|'.join(PROGRAMS)}) -?.*--?\w.*$", text, flags=re.M
            )
    assert {name: lines for name, lines in hidden.items() if lines} == {}


def test_every_command_listed_as_unchecked_is_still_shown():
    lines = {param.values[0] for param in BLOCKS + PHRASES}
    assert set(UNCHECKED) <= lines
    assert all(any(name in line for line in lines) for name in CONFIGURATIONS)


@pytest.mark.parametrize(
    "words",
    [
        "student train-corrector --epoch-number 3",
        "studnt train",
        "student train-corector",
        "evaluation taxonomy-table --metric",
    ],
)
def test_an_unknown_genestill_command_is_detected(words):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(f"genestill {words}", whole=True)


@pytest.mark.parametrize(
    "line", ["snakemake --coresss 2", "snakemake --cores 2 nothing", "make nothing", "rm -r results"]
)
def test_an_unknown_command_of_another_program_is_detected(line):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(line, whole=True)


def dry_runs() -> list:
    found = {}
    for param in BLOCKS + PHRASES:
        program, *words = words_of(param.values[0])
        if program != "snakemake" or "N" in words or {"--report", "--lint"} & set(words):
            continue
        if not any(f"{name}.yaml" in word for name in WITHOUT_INPUTS for word in words):
            found.setdefault(tuple(words), param)
    return [pytest.param(list(words), id=shlex.join(words)) for words in found]


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize("words", dry_runs())
def test_a_snakemake_command_dry_runs_and_lists_jobs(words, tmp_path):
    if "--use-conda" in words and not shutil.which("conda"):
        pytest.skip("no conda on this machine; tests/workflow/test_conda.py runs --use-conda with a double")
    # In a separate checkout, so that finished results of this one do not hide the jobs.
    for part in ("Snakefile", "workflow", "profiles", "config", "envs", "resources", "scripts", "src"):
        (tmp_path / part).symlink_to(ROOT / part)
    done = run_snakemake(*words, "-n", folder=tmp_path, snakefile=None)
    assert re.search(r"^(local)?rule ", done.stdout, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_python_example_of_the_encoder_students_runs(tmp_path):
    page = (ROOT / "docs" / "how-to" / "encoder-students.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    example = next(block for block in blocks if "from_pretrained(FOLDER)" in block)
    make = """
    from genestill.student.encoders import EncoderConfig, EncoderModel
    from genestill.student.encoders.tokenization import build_tokenizer

    EncoderModel(EncoderConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(FOLDER)
    build_tokenizer(cls=False, max_length=64).save_pretrained(FOLDER)
    """
    program = "\n".join([f"FOLDER = {str(tmp_path)!r}", textwrap.dedent(make), example, "print('done')"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("done\n"), done.stderr[-2000:]
