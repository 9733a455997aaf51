import itertools

from hypothesis import given
from hypothesis import strategies as st

from genestill.core.kmers import count_kmers, cut_kmers
from genestill.core.sequences import encode_bases


@given(st.text("ACGTN", max_size=60), st.integers(1, 7))
def test_every_base_is_in_one_token_which_is_a_whole_kmer_or_one_base(sequence, size):
    boundaries = cut_kmers(encode_bases(sequence), size).tolist()
    tokens = [sequence[start:stop] for start, stop in itertools.pairwise(boundaries)]
    assert "".join(tokens) == sequence
    assert all(len(token) == 1 or (len(token) == size and "N" not in token) for token in tokens)


@given(st.text("ACGTN", max_size=60), st.integers(1, 4))
def test_kmers_of_known_bases_are_counted_in_alphabetical_order(sequence, size):
    expected = [0] * 4**size
    for start in range(len(sequence) - size + 1):
        word = sequence[start : start + size]
        if "N" not in word:
            expected[sum("ACGT".index(base) * 4**power for power, base in enumerate(reversed(word)))] += 1
    assert count_kmers(encode_bases(sequence), size).tolist() == expected
