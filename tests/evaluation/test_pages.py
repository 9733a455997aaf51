from html.parser import HTMLParser

import pytest

from genestill.core.errors import InputError
from genestill.evaluation.pages import Downloads, Folded, Heading, Numbers, Picture, Table, write_answer, write_page

WORDS = "contigs & <script>alert(1)</script> {{content}}"
TABLE = Table(["model", "mean", "which"], [["a <b>", "0.5 (0.4 to 0.6)", "x"], ["longer name", "-", ""]], "All & more")


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.inside, self.words = [], None, {}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.words.setdefault(self.inside, []).append(data)


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    return reader


def test_text_and_page_contain_the_same_cells_and_markup_in_them_is_escaped(tmp_path):
    text = write_answer(tmp_path / "table.txt", "a <b> title", [WORDS, TABLE])
    assert (tmp_path / "table.txt").read_text() == text
    assert text.splitlines()[0] == WORDS
    assert text.splitlines()[4:] == [
        "model                    mean  which",
        "a <b>        0.5 (0.4 to 0.6)  x",
        "longer name                 -",
    ]
    reader = read(tmp_path / "table.html")
    assert reader.words["p"] == [WORDS]
    assert reader.words["td"] == [cell for row in TABLE.rows for cell in row if cell]
    assert reader.words["title"] == ["a <b> title"]
    assert "script" not in {tag for tag, _ in reader.tags}
    assert [attributes.get("class") for tag, attributes in reader.tags if tag == "td"][:3] == ["word", None, "word"]


def test_a_page_contains_its_figures_and_links_to_its_downloads(tmp_path):
    (tmp_path / "figure.svg").write_text("<svg/>")
    blocks = [
        Heading("What was found"),
        Numbers([("1,258", "contigs <b>")]),
        Picture(tmp_path / "figure.svg", 'a "picture"'),
        Downloads([(tmp_path / "student" / "predictions.tsv", "lineages")]),
        Folded("Settings", [TABLE]),
    ]
    write_page(tmp_path / "evaluation" / "summary.html", "title", blocks)
    reader = read(tmp_path / "evaluation" / "summary.html")
    assert reader.words["b"] == ["1,258"]
    [image] = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert image == {"src": "data:image/svg+xml;base64,PHN2Zy8+", "alt": 'a "picture"'}
    [link] = [attributes for tag, attributes in reader.tags if tag == "a"]
    assert link["href"] == "../student/predictions.tsv"
    assert link["data-result"] == str(tmp_path / "student" / "predictions.tsv")


def test_a_page_never_replaces_its_own_table(tmp_path):
    with pytest.raises(InputError, match="another suffix"):
        write_answer(tmp_path / "table.html", "title", [WORDS])
