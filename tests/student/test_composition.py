from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.sequences import reverse_complement
from genestill.student.corrector.composition import composition_of, count_tetranucleotides, projection_kernel

FEATURES = 103
TETRANUCLEOTIDES = list(map("".join, product("ACGT", repeat=4)))

dna = st.text(alphabet="ACGT", min_size=4, max_size=300)


def count_naively(sequence):
    counts = dict.fromkeys(TETRANUCLEOTIDES, 0)
    for start in range(len(sequence) - 3):
        word = sequence[start : start + 4].upper()
        if word in counts:
            counts[word] += 1
    return np.array(list(counts.values()))


@given(st.lists(st.text(alphabet="ACGTacgtN", max_size=200), max_size=6), st.integers(1, 300), st.integers(1, 300))
def test_counts_equal_a_naive_count_that_skips_windows_with_unknown_bases(sequences, block, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genestill.student.corrector.composition.PIECE", piece)
        patch.setattr("genestill.student.corrector.composition.BLOCK", block)
        found = np.concatenate(list(count_tetranucleotides(sequences)))
    assert found.shape == (len(sequences), 256)
    for row, sequence in zip(found, sequences, strict=True):
        assert (row == count_naively(sequence)).all()


def test_kernel_spans_the_null_space_of_the_published_relations():
    # The published definition (VAMB's kernel): frequencies of a word and its reverse complement are equal, words that
    # end in a trinucleotide are as frequent as words that begin with it, and all frequencies sum to one.
    number = {word: index for index, word in enumerate(TETRANUCLEOTIDES)}
    relations = []
    for word in TETRANUCLEOTIDES:
        if word < reverse_complement(word):
            relation = np.zeros(256)
            relation[number[word]], relation[number[reverse_complement(word)]] = 1, -1
            relations.append(relation)
    for middle in map("".join, product("ACGT", repeat=3)):
        relation = np.zeros(256)
        for base in "ACGT":
            relation[number[middle + base]] += 1
            relation[number[base + middle]] -= 1
        relations.append(relation)
    relations.append(np.ones(256))
    relations = np.array(relations)
    kernel = projection_kernel().astype(np.float64)
    assert kernel.shape == (256, FEATURES)
    assert np.linalg.matrix_rank(relations) == 256 - FEATURES
    np.testing.assert_allclose(relations @ kernel, 0, atol=1e-5)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(FEATURES), atol=1e-5)


@given(dna)
def test_both_strands_of_a_circular_sequence_lose_nothing_in_the_projection(sequence):
    circle = sequence + sequence[:3]
    both = np.concatenate(list(count_tetranucleotides([circle, reverse_complement(circle)]))).sum(axis=0)
    frequencies = both / both.sum()
    kernel = projection_kernel()
    centred = frequencies - 1 / 256
    np.testing.assert_allclose(kernel @ (kernel.T @ centred), centred, atol=1e-6)


def test_features_of_a_sequence_without_known_windows_are_zeros():
    assert (composition_of(["NNNNNNNN", "ACG"]) == 0).all()


@pytest.mark.parametrize("sequences", [[], ["ACGTACGTAC"]])
def test_each_sequence_has_one_row_of_103_features(sequences):
    assert composition_of(sequences).shape == (len(sequences), FEATURES)
