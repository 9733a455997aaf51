import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genestill.core.bpe import train_bpe
from genestill.core.tokenization import FastTokenizer, KmerTokenizer
from genestill.core.windows import pad
from genestill.teacher.windows import chunks, cut_windows, first_tokens

KMERS = KmerTokenizer.of_size(3, 64)
RANDOM = np.random.default_rng(1)
BYTE_PAIRS = FastTokenizer(
    train_bpe(["".join(RANDOM.choice(list("ACGT"), 100)) for _ in range(20)], 60, 64, letters="ACGT")
)


@given(
    st.lists(st.text("ACGTN", min_size=1, max_size=400), min_size=1, max_size=4),
    st.integers(5, 200),
    st.integers(3, 40),
)
@settings(max_examples=100, deadline=None)
def test_windows_in_tokens_cover_every_base_once_within_the_limit(sequences, size, limit):
    for tokenizer in (KMERS, BYTE_PAIRS):
        windows = cut_windows(sequences, tokenizer, size, limit)
        for row, sequence in enumerate(sequences):
            mine = [window for window in windows if window.row == row]
            covered = [
                place
                for window in mine
                for start, stop in zip(window.tokens.start, window.tokens.stop, strict=True)
                for place in range(start, stop)
            ]
            assert covered == list(range(len(sequence)))
            assert sum(window.bases for window in mine) == sum(letter != "N" for letter in sequence)
        assert all(len(window) <= limit for window in windows)


def test_special_tokens_and_tokens_of_unknown_bases_do_not_count():
    window = cut_windows(["ACGNNNACGT"], KMERS, 100, 64)[0]
    assert window.ids[0] == KMERS.prefix[0]
    assert window.counts.tolist() == [False, True, False, False, False, True, True]


def test_first_tokens_are_the_beginning_of_the_whole_tokenization():
    sequences = ["ACGTTGCATGCACCGTAGGCATCA" * 20, "ACGT"]
    windows, truncated = first_tokens(sequences, BYTE_PAIRS, 12)
    whole = BYTE_PAIRS.encode(sequences)
    assert windows[0].tokens.ids.tolist() == whole[0].ids[:10].tolist()
    assert windows[1].tokens.ids.tolist() == whole[1].ids.tolist()
    assert truncated == [True, False]


def test_padding_is_on_the_right_and_is_masked():
    windows = cut_windows(["ACGACG", "ACG"], KMERS, 100, 64)
    ids, mask = pad(windows, KMERS.pad)
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert ids[1, 2] == KMERS.pad
    assert np.array_equal(ids[0], windows[0].ids)


def test_chunks_keep_the_order_and_limit_the_number_of_bases():
    records = [(str(number), "A" * length) for number, length in enumerate([5, 5, 20, 1, 1, 9])]
    groups = list(chunks(records, 10))
    assert [record for group in groups for record in group] == records
    assert [[len(sequence) for _, sequence in group] for group in groups] == [[5, 5], [20], [1, 1], [9]]
