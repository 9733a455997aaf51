import os
import subprocess
import sys

PROGRAM = """
import sys
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
lineages = {parse_lineage(";".join(f"{rank}{number % (level + 2)}" for level, rank in enumerate("dpcofgs")))
            for number in range(40)}
LabelTree.from_lineages(lineages, other_children=True).save(sys.argv[1])
"""


def test_the_label_tree_does_not_depend_on_the_order_of_sets(tmp_path):
    for seed in "123":
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / seed], env=environment, check=True)
    first = (tmp_path / "1").read_bytes()
    assert first.count(b"\n") > 60
    assert (tmp_path / "2").read_bytes() == (tmp_path / "3").read_bytes() == first
