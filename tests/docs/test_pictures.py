"""Figures of the documentation show the content of the results tables."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]


def test_the_picture_of_taxdistill_is_drawn_from_the_rows_of_the_results():
    loader = SourceFileLoader("draw_results", str(ROOT / "scripts" / "draw_results"))
    draw_results = importlib.util.module_from_spec(importlib.util.spec_from_loader("draw_results", loader))
    loader.exec_module(draw_results)
    rows = draw_results.rows()
    assert len(rows) == len(draw_results.MODELS) * len(draw_results.PANELS)
    picture = draw_results.PICTURE.read_text(encoding="utf-8")
    assert f"rows {draw_results.checksum(rows)}" in picture, "run scripts/draw_results"


def test_pictures_are_complete_and_contain_no_local_path():
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
    assert pictures
    for path in pictures:
        text = path.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag.endswith("svg"), path
        assert not [folder for folder in ("/home/", "/root/", "/tmp/", "/work/") if folder in text], path
