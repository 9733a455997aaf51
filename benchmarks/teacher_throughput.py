"""Tokens a second of `genestill teacher embed` beside the plain loop, on the same windows, in one run.

The plain loop is what one writes first: the language model, batches of a fixed number of windows in file order, each
padded to its longest. Both see the same windows, so both embed the same bases, and both count real tokens only.

    python benchmarks/teacher_throughput.py --model FOLDER --contigs contigs.fna.gz
"""

import argparse
import itertools
import time

import numpy as np
import torch

from genestill.ground.devices import choose_device
from genestill.ground.sequences import read_fasta
from genestill.teacher.embedding import EmbeddingSettings, _batch_tokens, sequence_embeddings, window_bases
from genestill.teacher.loading import load_teacher
from genestill.teacher.windows import cut_windows, pad


def plain_loop(teacher, sequences: list[str], settings: EmbeddingSettings, windows_a_batch: int) -> np.ndarray:
    """Mean-pooled embeddings [n, hidden_size] by file-order batches padded to their longest."""
    windows = cut_windows(sequences, teacher.tokenizer, window_bases(teacher, settings), teacher.context)
    total, weights = np.zeros((len(sequences), teacher.hidden_size)), np.zeros(len(sequences))
    for start in range(0, len(windows), windows_a_batch):
        batch = windows[start : start + windows_a_batch]
        ids, mask = (torch.from_numpy(array).to(teacher.device) for array in pad(batch, teacher.tokenizer.pad))
        with torch.inference_mode():
            states = teacher.model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1].float()
        for state, window in zip(states.cpu().numpy(), batch, strict=True):
            if window.bases:
                total[window.row] += state[: len(window)][window.counts].mean(0) * window.bases
                weights[window.row] += window.bases
    return (total / np.maximum(weights, 1)[:, None]).astype(np.float32)


def main() -> None:
    """Time both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="teacher folder")
    parser.add_argument("--contigs", required=True, help="FASTA file")
    parser.add_argument("--limit", type=int, default=500, help="contigs to take (default: %(default)s)")
    parser.add_argument(
        "--batch", type=int, default=32, help="windows a batch of the plain loop (default: %(default)s)"
    )
    parser.add_argument("--batch-tokens", type=int, help="token budget of ours (default: as in embed)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn; the median counts")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    teacher = load_teacher(options.model, choose_device(options.device))
    settings = EmbeddingSettings(batch_tokens=options.batch_tokens)
    sequences = [sequence for _, sequence in itertools.islice(read_fasta(options.contigs), options.limit)]
    windows = cut_windows(sequences, teacher.tokenizer, window_bases(teacher, settings), teacher.context)
    tokens = sum(len(window) for window in windows)
    ways = {
        f"plain loop, {options.batch} windows a batch, file order": lambda: plain_loop(
            teacher, sequences, settings, options.batch
        ),
        f"genestill, at most {_batch_tokens(teacher, settings)} tokens a batch, by length": lambda: sequence_embeddings(
            teacher, sequences, settings
        )[0],
    }
    times, results = {name: [] for name in ways}, {}
    for _ in range(options.repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            results[name] = way()
            if teacher.device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - began)
    one, other = results.values()
    print(f"{teacher.name}, {teacher.device}, {teacher.dtype}, {torch.get_num_threads()} threads: {len(sequences)} "
          f"contigs, {sum(map(len, sequences)) / 1e6:.2f} Mb, {len(windows)} windows, {tokens} tokens")  # fmt: skip
    print(f"largest difference of the embeddings: {np.abs(one - other).max():.2g}")
    first = None
    for name, seconds in times.items():
        rate = tokens / np.median(seconds)
        first = first or rate
        print(f"{rate:12.0f} tokens/s  {rate / first:5.2f} x  {name}")


if __name__ == "__main__":
    main()
