import pytest

from genestill.ground.files import folder_aside, scratch_folder, write_aside


def test_what_a_killed_process_left_is_swept_away_and_nothing_else(tmp_path):
    left = [".123.aside.a.json", ".9.aside.a.json", ".aside.model.abcd0123/x", ".replaced.model.abcd012_/model/x",
            ".search.aaaaaaaa/tmp/x"]  # fmt: skip
    others = ["a.json.old", ".123.aside.b.a.json", ".aside.model.checkpoint.abcd0123/x", ".search.later.aaaaaaaa/x",
              ".aside.other.abcd0123/x", "model/x"]  # fmt: skip
    for name in left + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with write_aside(tmp_path / "a.json") as aside:
        aside.write_text("new")
    with folder_aside(tmp_path / "model") as folder:
        (folder / "y").write_text("new")
    with scratch_folder(tmp_path, "search") as scratch:
        (scratch / "y").write_text("x")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*others, "a.json", "model/y"} - {"model/x"}


@pytest.mark.parametrize("writer", [write_aside, folder_aside])
def test_an_error_leaves_what_was_there_and_nothing_beside_it(tmp_path, writer):
    target = tmp_path / "a"
    with writer(target) as aside:
        if aside.is_dir():
            (aside / "x").write_text("old")
        else:
            aside.write_text("old")
    with pytest.raises(RuntimeError), writer(target):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (target / "x" if target.is_dir() else target).read_text() == "old"


def test_names_that_are_patterns_sweep_nothing(tmp_path):
    (tmp_path / ".1.aside.abc").write_text("x")
    with write_aside(tmp_path / "[a]*") as aside:
        aside.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {".1.aside.abc", "[a]*"}
