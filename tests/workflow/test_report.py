"""The report of every recipe: its names, its front page, and every page of it opened in a browser."""

import io
import re
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, unquote

import matplotlib.image
import pytest
import yaml
from docutils.core import publish_parts
from jinja2 import Environment
from snakemake.api import SnakemakeApi
from snakemake.settings import types as settings

from genestill.cli import main
from genestill.core.configuration import merge, read_yaml
from snakemake_process import ROOT, run_snakemake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Sections that a reader finds, in this order.
SECTIONS = {
    "taxdistill": [
        *("Answer", "Label changes", "Composition", "Accuracy", "Confidence", "Novelty"),
        *("How the run went", "Representations"),
    ],
    "taxdistill without truth": ["Answer", "Label changes", "Composition", "How the run went", "Representations"],
    "mrna": ["Answer", "Training", "Representations"],
    "had": ["Answer", "Representations"],
    "seqlens": ["Answer", "Representations"],
    "benchmark": ["Answer", "Accuracy", "New contigs", "Cost"],
}
# What makes the demo of a recipe as small as it can be with every result.
SMALL_DNA = {"defaults": {"steps": 2}, "evaluation_methods": ["probe"], "baselines": ["kmer"]}
SMALLER = {
    "taxdistill": ("test", {}),
    "taxdistill without truth": ("test", {"student": {"teacher": "none"}}),
    "mrna": ("mrna-demo", {"mrna": {"defaults": {"steps": 2}, "seeds": [1]}}),
    "had": ("had-demo", {"dna": SMALL_DNA}),
    "seqlens": ("seqlens-demo", {"dna": SMALL_DNA}),
    "benchmark": (
        "test",
        {
            "student": {"teacher": "none"},
            "evaluation": {"benchmark": {"corrector-no-teacher": 1, "corrector": 1}},
            "benchmark": {"communities": {"first": {}, "second": {"seed": 2}}},
        },
    ),
}


def write_configuration(recipe: str, folder: Path) -> Path:
    """A configuration of ``recipe`` in ``folder``, and the files that it names."""
    name, differences = SMALLER[recipe]
    configuration = merge(read_yaml(ROOT / "config" / f"{name}.yaml"), differences)
    if recipe == "taxdistill without truth":
        del configuration["reference"]
        configuration["dataset"] |= {
            "contigs": f"{folder}/data/contigs.fna.gz",
            "abundance": f"{folder}/data/abundance.tsv",
            "labels": f"{folder}/data/labels.tsv",
        }
        (folder / "data").mkdir()
        for file in ("contigs.fna.gz", "abundance.tsv", "labels.tsv"):
            (folder / "data" / file).touch()
    (folder / "small.yaml").write_text(yaml.safe_dump(configuration))
    return folder / "small.yaml"


def simulate_contigs(folder: Path) -> None:
    """Contigs with their abundances and labels, without information on the origin of the contigs."""
    sizes = "--phyla 2 --classes 2 --orders 2 --families 2 --genera 2 --species 4 --genomes 6 --genome-length 30000"
    assert main(["reference", "simulate-genomes", *sizes.split(), "--output", f"{folder}/simulated_genomes"]) == 0
    cut = ["--genomes", f"{folder}/simulated_genomes/genomes.tsv", "--contigs", "60", "--samples", "2"]
    assert main(["reference", "community", *cut, "--output", f"{folder}/data"]) == 0
    rows = [line.split("\t") for line in (folder / "data" / "truth.tsv").read_text().splitlines()]
    contig, lineage = rows[0].index("contig"), rows[0].index("lineage")
    labels = ["contigs\tpredictions", *(f"{row[contig]}\t{row[lineage]}" for row in rows[1:])]
    (folder / "data" / "labels.tsv").write_text("\n".join(labels) + "\n")
    (folder / "data" / "truth.tsv").unlink()


@pytest.fixture(scope="module", params=SECTIONS)
def parsed(request, tmp_path_factory):
    """A recipe, and its workflow as Snakemake reads it."""
    folder = tmp_path_factory.mktemp("parsed")
    with SnakemakeApi(settings.OutputSettings(quiet={settings.Quietness.ALL})) as snakemake:
        workflow = snakemake.workflow(
            resource_settings=settings.ResourceSettings(cores=1),
            config_settings=settings.ConfigSettings(configfiles=[write_configuration(request.param, folder)]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        return request.param, workflow._workflow


def results_of(workflow) -> list[tuple[str, object]]:
    """(rule, its report directive) of every result that a rule of the workflow itself reports."""
    communities = tuple(f"{name}_" for name in workflow.globals["config"]["benchmark"]["communities"])
    return [
        (rule.name, output.flags["report"])
        for rule in workflow.rules
        for output in rule.output
        if "report" in output.flags and not (communities and rule.name.startswith(communities))
    ]


def names_of(result, workflow) -> list[dict[str, str]]:
    """The labels of a result, or of each file where it is a folder."""
    if callable(result.labels):
        return [result.labels(SimpleNamespace(exported=file)) for file in workflow.globals["EXPORTED"]]
    return [result.labels]


def test_a_result_in_the_report_has_one_label_and_a_unique_name(parsed):
    # From two labels on, Snakemake's page makes a switch of one that two values halve, and is blank where a result has
    # no counterpart under the other value; results of one name in one list hide each other.
    _, workflow = parsed
    named = [
        (rule, result.category, labels)
        for rule, result in results_of(workflow)
        for labels in names_of(result, workflow)
    ]
    assert len(named) > 15
    assert [(rule, labels) for rule, _, labels in named if list(labels or {}) != ["shows"]] == []
    places = [(category, labels["shows"]) for _, category, labels in named]
    assert [place for place in places if places.count(place) > 1] == []
    for _, name in places:
        assert re.match(r"[A-Z][\w-]* \w", name), f"{name}: not in words"


def test_every_result_in_the_report_has_a_description(parsed):
    _, workflow = parsed
    for rule, result in results_of(workflow):
        assert Path(result.caption.get_path_or_uri(secret_free=False)).read_text(encoding="utf-8").strip(), rule


def test_the_front_page_describes_exactly_the_sections_of_the_report(parsed):
    recipe, workflow = parsed
    # As Snakemake renders it, but a mistake in the markup is an error.
    page = (ROOT / "workflow" / "report" / "workflow.rst").read_text(encoding="utf-8")
    sections = [f"{number}. {title}" for number, title in enumerate(SECTIONS[recipe], start=1)]
    links = "".join(f".. _{section}: javascript:app.showCategory('{quote(section)}')\n" for section in sections)
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(f"{page}\n\n{links}").render(
        snakemake=SimpleNamespace(config=workflow.globals["config"]),
        categories=[SimpleNamespace(name=section) for section in sections],
    )
    html = publish_parts(text, writer_name="html", settings_overrides={"halt_level": 2})["html_body"]
    described = re.findall(r"<li>.*?showCategory\('(.*?)'\).*?</a>:\s*\S.{20,}?</li>", html, re.DOTALL)
    assert list(map(unquote, described)) == sections
    assert ("contigs" in html) == (recipe.startswith("taxdistill") or recipe == "benchmark")
    assert ("F1" in html) == (recipe in ("taxdistill", "benchmark"))


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium that makes no network requests."""
    if CHROMIUM is None:
        pytest.skip("there is no browser to open reports with; Debian's package chromium is one")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright comes with the extra test")
    quiet = ["quic", "background-networking", "component-update", "sync"]
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{word}" for word in quiet)]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Reader:
    """Opens a report and clicks on everything in it.

    Attributes:
        page: Playwright's page, 1400 x 900 pixels.
        complaints: errors of the console and of the page, and requests that left this machine.
        failed: address and failure of requests; one for a file to save ends so in Chromium.
        saved: addresses of files that were saved.
    """

    def __init__(self, chromium, report: Path):
        self.complaints: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.saved: set[str] = set()
        self.page = chromium.new_page(viewport={"width": 1400, "height": 900})
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._follow)
        self.page.on("requestfailed", lambda request: self.failed.append((request.url, request.failure)))
        self.page.on("download", lambda download: self.saved.add(download.url))
        self.page.goto(report.as_uri())
        self.page.locator("nav").first.wait_for()

    def _hear(self, message) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _follow(self, request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"loads {request.url[:200]}")

    def look(self, what: str) -> None:
        """Fail unless ``what``, just opened, raised no error and left something on the page."""
        self.page.wait_for_timeout(50)
        failed = [f"{address[:200]}: {failure}" for address, failure in self.failed if address not in self.saved]
        assert self.complaints + failed == [], f"{what}: {self.complaints + failed}"
        assert self.page.locator("#app").inner_text().strip(), f"{what}: a blank page"

    def look_beside_menu(self, what: str) -> None:
        """Fail unless the part of the page beside the menu shows more than one colour, and no error was raised."""
        content = self.page.locator("#app > div > div.grow")
        content.locator("img, iframe, svg, canvas, h1, pre").first.wait_for()
        self.page.wait_for_function("[...document.images].every((image) => image.complete)")
        self.look(what)
        pixels = matplotlib.image.imread(io.BytesIO(content.screenshot()))
        assert (pixels != pixels[0, 0]).any(), f"{what}: nothing is drawn"

    def go_home(self) -> None:
        """Back to the top of the menu."""
        self.page.locator("nav ol a").first.click()
        self.look("the front page")

    def choose(self, name: str) -> None:
        """Click on an entry of the menu."""
        self.go_home()
        self.page.locator("nav li").get_by_text(name, exact=True).click()
        self.look(name)

    def names(self) -> list[str]:
        """Names of the results that are listed."""
        return self.page.locator("nav tbody tr td:first-child").all_inner_texts()

    def open_result(self, number: int, name: str) -> None:
        """Open a result that is listed: a page or figure beside the menu, JSON in a new tab; other files are saved."""
        eye, information = self.page.locator("nav tbody tr").nth(number).locator("a").all()
        if eye.get_attribute("download") is None:
            eye.click()
            self.look_beside_menu(name)
            for frame in self.page.frames[1:]:
                frame.wait_for_load_state()
                assert frame.locator("body").inner_text().strip(), f"{name}: a blank page"
        elif eye.get_attribute("href").endswith(".json"):
            with self.page.expect_popup() as tab:
                eye.click()
            assert tab.value.locator("body").inner_text().strip(), f"{name}: an empty file"
            tab.value.close()
        else:
            with self.page.expect_download() as saved:
                eye.click()
            assert saved.value.path().stat().st_size > 0, f"{name}: an empty file"
        information.click()
        self.look(f"{name}: its description")
        assert len(self.page.locator("nav .prose").inner_text()) > 40, f"{name}: no description"
        self.page.locator("nav li a").last.click()
        self.look(f"{name}: its rule")

    def search(self, term: str) -> list[str]:
        """Names of the results whose paths hold ``term``."""
        self.go_home()
        box = self.page.get_by_placeholder("Search...")
        box.fill(term)
        box.press("Enter")
        self.look(f"search for {term}")
        return self.names()


def read_first_page(reader: Reader) -> None:
    """Fail unless the first page has numbers, and its downloads, its sorting and its copying work."""
    page = reader.page
    assert page.locator(".genestill .numbers b").count() >= 2
    for link in page.locator(".genestill a[download]").all():
        with page.expect_download() as saved:
            link.click()
        assert saved.value.path().stat().st_size > 0
    table = page.locator(".genestill table").first
    heading = table.locator("th").nth(1).locator("button")
    cells = table.locator("tbody td:nth-child(2)")
    heading.click()
    rising = cells.all_inner_texts()
    heading.click()
    assert cells.all_inner_texts() == rising[::-1]
    table.locator("button.copy").click()
    reader.look("the tables of the first page")
    widest = page.evaluate("Math.max(...[...document.querySelectorAll('.genestill table')].map(t => t.scrollWidth))")
    assert widest <= 1100, "a table that does not fit 1,100 pixels"


def read_everything(reader: Reader) -> list[str]:
    """Open all that a report offers; return the sections of its menu."""
    reader.look_beside_menu("the front page")
    front = reader.page.locator(".prose").inner_text()
    read_first_page(reader)
    for general in ("Workflow", "Statistics"):
        reader.choose(general)
        reader.look_beside_menu(general)
    reader.choose("About")
    for licence in reader.page.locator("nav li a").all():
        licence.click()
        reader.look("a licence")
    sections = sorted(reader.page.evaluate("Object.keys(categories)"))
    listed = 0
    for section in sections:
        assert section in front, f"{section}: not on the front page"
        reader.choose(section)
        names = reader.names()
        listed += len(names)
        for number, name in enumerate(names):
            reader.choose(section)
            reader.open_result(number, name)
        reader.go_home()
        reader.page.locator(".prose a").get_by_text(section, exact=True).click()
        reader.look(f"{section}, from the front page")
        assert reader.names() == names
    # A search brings results of all sections together, some with and some without what else belongs to them.
    results = reader.page.evaluate("Object.keys(results)")
    assert listed == len(results), "a result that no section lists"
    assert len(reader.search("re:.")) == len(results), "a result that a search does not list"
    for term in {word for result in map(Path, results) for word in (result.name, result.suffix)}:
        assert reader.search(term), f"search for {term}: nothing found"
    return sections


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize("recipe", SECTIONS)
def test_every_page_of_the_report_opens_in_a_browser(recipe, chromium, tmp_path):
    configuration = write_configuration(recipe, tmp_path)
    if recipe == "taxdistill without truth":
        simulate_contigs(tmp_path)
    run_snakemake("--cores", 2, "--configfile", configuration, folder=tmp_path)
    # One of them as a page of its own, which holds every result; the others as an archive of page and results.
    report = tmp_path / ("report.html" if recipe == "taxdistill without truth" else "report.zip")
    run_snakemake("--configfile", configuration, "--report", report, folder=tmp_path)
    if report.suffix == ".zip":
        zipfile.ZipFile(report).extractall(tmp_path)
        report = tmp_path / "report" / "report.html"
    sections = read_everything(Reader(chromium, report))
    assert sections == [f"{number}. {title}" for number, title in enumerate(SECTIONS[recipe], start=1)]
