"""The documentation as a site: built without network, and read from disk in a browser."""

import shutil
import subprocess
import sys

import pytest

from snakemake_process import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
def test_links_search_and_pictures_work_from_disk_in_a_browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright comes with the extra test")
    if CHROMIUM is None:
        pytest.skip("there is no browser; Debian's package chromium is one")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    complaints = []

    def follow(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            complaints.append(f"loads {request.url}")

    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.on("request", follow)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((tmp_path / "site" / "index.html").as_uri())
        page.locator("nav").get_by_role("link", name="Annotate my contigs").first.click()
        page.get_by_role("heading", name="Annotate my contigs").first.wait_for()
        images = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        page.wait_for_function(images)
        box = page.locator("input[name=query]")
        box.click()
        box.press_sequentially("calibration")
        page.locator(".md-search-result__item").first.wait_for()
        page.locator(".md-search-result__item a").first.click()
        page.locator("article mark").first.wait_for()
        browser.close()
    assert complaints == []
