"""The examples of CONTRIBUTING.md, put into a copy of the package, work as the page describes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n# (\S+?)(?:: (\w+))?\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
CONFIGURATIONS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]


def test_every_code_block_names_its_file():
    assert TEXT.count("```python\n") == len(CODE) > 0
    assert TEXT.count("```yaml\n") == len(CONFIGURATIONS) > 0


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The package with the modules and entries of the page, beside what it reads of the repository."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("config", "resources", "workflow"):
        (folder / part).symlink_to(ROOT / part)
    for file, table, block in CODE:
        path = folder / file
        if not table:
            assert not path.exists(), f"{file} is there already"
            path.write_text(block, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8")
        text, entries = re.subn(
            rf"^({table} = {{)(.*?)(\n?}})$", rf"\1\2,\n{block.rstrip()}\3", before, flags=re.MULTILINE | re.DOTALL
        )
        assert entries == 1, f"{file} has no table {table}"
        path.write_text(text.replace(",,", ","), encoding="utf-8")
    return folder


def run(folder: Path, *words) -> str:
    """A Python process that imports the extended package; what it prints."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


COMPLETE = """
import sys, yaml
from genestill.core.configuration import complete_configuration
from genestill.core.contradictions import refuse_contradictions
from genestill.core.recipes import asked_of_teacher
for settings in yaml.safe_load(sys.argv[1]):
    completed = complete_configuration(settings, "config/recipes", "workflow/schemas")
    refuse_contradictions(completed)
    print(completed["recipe"], asked_of_teacher(completed))
"""


def test_the_configurations_are_accepted_once_the_modules_and_entries_exist(copied):
    told = run(copied, "-c", COMPLETE, yaml.safe_dump(CONFIGURATIONS)).splitlines()
    assert len(told) == len(CONFIGURATIONS)
    # The entry of the loss determines what the teacher computes.
    assert told[0].startswith("mrna {'corpus': ['sequence']")


PEER = """
from genestill.evaluation.contig_peers.evidence import Evidence
from genestill.evaluation.contig_peers.registry import PEERS
lineage = ("Bacteria", "p", "c", "o", "f", "g", "g s")
print(PEERS["MMseqs2-genus"].call(Evidence(["a"], [1000], [lineage]), 0.0))
"""


def test_a_peer_calls_lineages(copied):
    assert run(copied, "-c", PEER).strip() == "[('Bacteria', 'p', 'c', 'o', 'f', 'g', None)]"


BELIEVE = """
import numpy as np, pandas as pd
from genestill.cli import build_parser
from genestill.core.label_tree import LabelTree
from genestill.core.lineage import parse_lineage
from genestill.core.table_schemas import HITS, KRAKEN2_CALLS
from genestill.core.tables import write_table
from genestill.student.corrector.evidence.source import read_evidence
from genestill.student.corrector.features import Contigs

names = ["d__B;p__P;c__C;o__O;f__F;g__G;s__G " + name for name in "ab"]
tree = LabelTree.from_lineages(map(parse_lineage, names), other_children=True)
rows = "".join(f"{taxid}\\t{name}\\n" for taxid, name in enumerate(names, 1))
open("lineages.tsv", "w").write("taxid\\tlineage\\n" + rows)
calls = pd.DataFrame({"id": ["x", "x"], "confidence": [0.0, 0.2], "taxid": [2, 0]})
write_table("calls.parquet", calls, KRAKEN2_CALLS)
hits = {"id": "x", "fragment": 0, "target_taxid": 1, "identity": 0.96, "bits": 300.0, "alignment_length": 100}
hits |= {name: None for name in HITS.names if name not in hits}
write_table("hits.parquet", pd.DataFrame([hits]), HITS)
contigs = Contigs(["x", "y"], np.array([2000, 2000]), np.zeros((2, 103)), None, [])
tables = {"hits": "hits.parquet", "kraken2": "calls.parquet"}
alone = read_evidence({"hits": "hits.parquet"}, contigs, tree, ".").own.toarray()
found = read_evidence(tables, contigs, tree, ".").own.toarray()
leaf = list(tree.leaves).index(tree.node_of(parse_lineage(names[1])))
print(alone[0, leaf] < 0.01, found[0, leaf] > 0.05, found[1].sum() == 0)
words = "student predict --model m --contigs c --index i --hits h --kraken2 k --output o".split()
print(build_parser().parse_args(words).kraken2)
"""


def test_a_source_of_evidence_is_combined_with_the_hits_and_has_an_option(copied):
    assert run(copied, "-c", BELIEVE).split() == ["True", "True", "True", "k"]


LEARN = """
import numpy as np, torch
from importlib import import_module
from types import SimpleNamespace
from genestill.student.dna.distillation import Distillation
from genestill.student.dna.settings import DistillationSettings
from genestill.student.transcripts.objectives import huber

torch.manual_seed(1)
batch = SimpleNamespace(projected=torch.randn(4, 6, requires_grad=True), embeddings=torch.randn(4, 6))
huber.loss(batch).backward()
assert batch.projected.grad.abs().sum() > 0

class Student(torch.nn.Module):
    config = SimpleNamespace(hidden_size=8)
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 8)
    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self.embedding(input_ids))

model = Distillation(Student(), DistillationSettings("window_mean"), torch.zeros(3), torch.ones(3))
optimizer = torch.optim.Adam(model.parameters(), 0.05)
place = torch.arange(6)[None].repeat(2, 1)
batch = {"input_ids": torch.randint(0, 5, (2, 6)), "attention_mask": torch.ones(2, 6)}
batch |= {"start": place, "stop": place + 1}
batch |= {"teacher_features": torch.randn(2, 1, 3), "teacher_start": place[:, :1], "teacher_stop": place[:, :1] + 6}
losses = []
for _ in range(60):
    loss, parts = model(batch)
    losses.append(parts["window_mean"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
assert losses[-1] < 0.2 * losses[0], losses
"""


@pytest.mark.slow
def test_students_are_trained_with_the_losses(copied):
    run(copied, "-c", LEARN)


@pytest.mark.slow
def test_a_teacher_of_the_architecture_is_pretrained_and_can_be_loaded(copied):
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 2000))
    (copied / "genome.fna").write_text(f">a\n{sequence}\n")
    sizes = ["--hidden-size", 8, "--layers", 1, "--heads", 2, "--context", 32, "--steps", 2]
    words = "-m genestill teacher pretrain --architecture llama --genomes genome.fna --output model"
    run(copied, *words.split(), *sizes)
    opened = "from genestill.teacher.loading import load_teacher; teacher = load_teacher('model'); print(teacher.kind)"
    assert run(copied, "-c", opened).split() == ["causal"]


@pytest.mark.slow
def test_baselines_are_fitted(copied):
    generator = np.random.default_rng(1)
    rows = ["sequence\tlabel\tsplit"]
    for number in range(90):
        sequence = "".join(generator.choice(list("ACGT"), 30 + number % 7))
        rows.append(f"{sequence}\t{'ab'[number % 3 == 0]}\t{('train', 'train', 'test')[number // 30]}")
    (copied / "task.tsv").write_text("\n".join(rows) + "\n")
    words = "-m genestill evaluation sequence-fit --kind majority --task task.tsv --task-name mine/one --name majority"
    run(copied, *words.split(), "--output", "majority.parquet")
    check = """
import numpy as np, pandas as pd
from genestill.core.table_schemas import TASK_PREDICTIONS
from genestill.core.tables import read_table
from genestill.evaluation.probes.baselines.length import features
from genestill.evaluation.settings import TranscriptBaselineSettings
table = read_table("majority.parquet", TASK_PREDICTIONS)
print(len(table), set(table["predicted"]))
transcripts = pd.DataFrame({"sequence": ["ACGT", "A"]})
assert np.allclose(features(transcripts, TranscriptBaselineSettings("length"))["length"], [[np.log(4)], [0]])
"""
    assert run(copied, "-c", check).strip() == "30 {'a'}"
