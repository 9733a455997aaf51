"""What any student must beat: k-mer counts, a small CNN; and the linear probe of frozen features."""

import copy
import itertools
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from genestill.core.kmers import count_kmers
from genestill.core.sequences import encode_bases
from genestill.core.task_tables import TaskTable

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the inverse regularisation, searched on validation
VALIDATION_SHARE = 0.1


def kmer_frequencies(sequences: list[str], size: int) -> np.ndarray:
    """Frequencies of k-mers of A, C, G, T, float32 [n, 4^size], lexicographic; other letters break a k-mer."""
    result = np.zeros((len(sequences), 4**size), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        counts = count_kmers(encode_bases(sequence), size)
        result[row] = counts / max(1, counts.sum())
    return result


def linear_probe(features: np.ndarray, table: TaskTable, seed: int) -> np.ndarray:
    """Logistic regression on standardised features; strength chosen on a tenth of the training rows, then all of them.

    Args:
        features: float [rows of the table, width].
        table: the task.
        seed: of the validation cut.

    Returns:
        float64 [test rows, classes], probabilities.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = np.asarray(features, dtype=np.float64), table.labels
    fit, held = train_test_split(
        table.train, test_size=VALIDATION_SHARE, stratify=labels[table.train], random_state=seed
    )

    def model(strength: float):
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))

    found = {c: model(c).fit(features[fit], labels[fit]).score(features[held], labels[held]) for c in STRENGTHS}
    best = max(found, key=found.get)
    return model(best).fit(features[table.train], labels[table.train]).predict_proba(features[table.test])


def kmer_baseline(table: TaskTable, seed: int, size: int = 5) -> np.ndarray:
    """`linear_probe` of k-mer frequencies of 1 to ``size`` bases."""
    parts = [kmer_frequencies(table.sequences, k) for k in range(1, size + 1)]
    return linear_probe(np.concatenate(parts, axis=1), table, seed)


class GenomicBenchmarksCNN(nn.Module):
    """The baseline of Genomic Benchmarks (Gresova et al. 2023), by its design.

    Embedding of the letters, three blocks of convolution (width 8), batch norm, ReLU and max pooling (2) with 16, 8 and
    4 channels, then two dense layers (512). Input int64 [B, L] of codes 0 to 4 and 5 for padding; logits [B, classes].
    """

    def __init__(self, length: int, classes: int):
        super().__init__()
        self.embedding = nn.Embedding(6, 100, padding_idx=5)
        blocks, channels = [], (100, 16, 8, 4)
        for before, after in itertools.pairwise(channels):
            blocks += [nn.Conv1d(before, after, 8, padding="same"), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(2)]
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(channels[-1] * (length // 8), 512), nn.ReLU(), nn.Linear(512, classes)
        )

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits of padded codes."""
        return self.dense(self.blocks(self.embedding(codes).mT))


def cnn_baseline(table: TaskTable, seed: int, epochs: int = 10, batch: int = 64, rate: float = 1e-3) -> np.ndarray:
    """Train `GenomicBenchmarksCNN` (Adam, 1e-3, batch 64, 10 epochs; the best validation epoch is kept).

    Returns:
        float64 [test rows, classes], probabilities.
    """
    from sklearn.model_selection import train_test_split

    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    length = max(8, max(map(len, table.sequences)))
    codes = np.full((len(table.sequences), length), 5, dtype=np.int64)
    for row, sequence in enumerate(table.sequences):
        codes[row, : len(sequence)] = encode_bases(sequence)
    inputs, labels = torch.from_numpy(codes), torch.from_numpy(table.labels)
    fit, held = train_test_split(
        table.train, test_size=VALIDATION_SHARE, stratify=table.labels[table.train], random_state=seed
    )
    # An even convolution that keeps the length pads one side more; torch says so once, and it is meant.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        model = GenomicBenchmarksCNN(length, len(table.classes))
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        best, kept = -1.0, None
        for _ in range(epochs):
            model.train()
            order = generator.permutation(fit)
            for first in range(0, len(order) - 1, batch):
                rows = order[first : first + batch]
                loss = functional.cross_entropy(model(inputs[rows]), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            right = float((_probabilities(model, inputs, held).argmax(axis=1) == table.labels[held]).mean())
            if right > best:
                best, kept = right, copy.deepcopy(model.state_dict())
        model.load_state_dict(kept)
        return _probabilities(model, inputs, table.test)


@torch.no_grad()
def _probabilities(model: nn.Module, inputs: torch.Tensor, rows: np.ndarray, batch: int = 256) -> np.ndarray:
    model.eval()
    parts = [model(inputs[rows[first : first + batch]]).softmax(dim=-1) for first in range(0, len(rows), batch)]
    return torch.cat(parts).double().numpy()
