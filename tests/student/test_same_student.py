import numpy as np
import pytest

from genestill.cli import main
from genestill.core.contents import content_checksum
from genestill.core.sequences import write_fasta


@pytest.fixture
def sequences(tmp_path):
    random = np.random.default_rng(1)
    records = [(f"s{number}", "".join(random.choice(list("ACGT"), 120))) for number in range(12)]
    write_fasta(tmp_path / "sequences.fna.gz", records)
    return str(tmp_path / "sequences.fna.gz")


@pytest.mark.parametrize("architecture", ["had-tiny", "transformer-tiny"])
def test_three_steps_with_the_same_seed_give_the_same_encoder_bit_for_bit(sequences, tmp_path, architecture):
    found = {}
    for name, seed in (("one", "1"), ("two", "1"), ("other", "2")):
        done = main(
            ["--quiet", "student", "pretrain-dna", "--sequences", sequences, "--architecture", architecture]
            + ["--steps", "3", "--batch", "4", "--max-tokens", "128", "--seed", seed, "--device", "cpu"]
            + ["--output-history", f"{tmp_path}/{name}.tsv", "--output", f"{tmp_path}/{name}"]
        )
        assert done == 0
        found[name] = (
            content_checksum(tmp_path / name / "model.safetensors"),
            content_checksum(tmp_path / f"{name}.tsv"),
        )
    assert found["one"] == found["two"] != found["other"]
