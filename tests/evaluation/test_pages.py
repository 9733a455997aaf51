from html.parser import HTMLParser

import pytest

from genestill.core.errors import InputError
from genestill.evaluation.pages import write_answer

TEXT = "contigs & <script>alert(1)</script>\n  indented, as {it} stands\n"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.inside, self.words = [], None, {}

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.words[self.inside] = self.words.get(self.inside, "") + data


def test_the_page_shows_the_text_as_it_is_and_runs_nothing_of_it(tmp_path):
    write_answer(tmp_path / "table.txt", "a <b> title", TEXT)
    assert (tmp_path / "table.txt").read_text() == TEXT
    reader = Reader()
    reader.feed((tmp_path / "table.html").read_text())
    assert reader.words["pre"] == TEXT
    assert reader.words["title"] == "a <b> title"
    assert "script" not in reader.tags


def test_a_page_never_replaces_its_own_table(tmp_path):
    with pytest.raises(InputError, match="another suffix"):
        write_answer(tmp_path / "table.html", "title", TEXT)
