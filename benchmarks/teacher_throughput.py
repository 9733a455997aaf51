"""Tokens per second of `genestill teacher embed` compared with a plain loop, on the same contigs, in one run.

The plain loop is the simplest implementation: the language model over batches of a fixed number of sequences in file
order, each padded to its longest. It runs twice: over whole contigs, and over the windows that genestill cuts, so that
only the order of the batches differs. Only real tokens are counted, the same number for all.

    python benchmarks/teacher_throughput.py --model FOLDER --contigs contigs.fna.gz
"""

import argparse
import itertools
import time

import numpy as np
import torch

from genestill.core.devices import choose_device
from genestill.core.sequences import read_fasta
from genestill.core.windows import pad
from genestill.teacher.embedding import sequence_embeddings, window_bases
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import EmbeddingSettings
from genestill.teacher.windows import cut_windows


def plain_loop(teacher, sequences: list[str], size: int, limit: int, batch_size: int) -> np.ndarray:
    """Mean-pooled embeddings, float [n, hidden_size], with batches in file order padded to their longest sequence."""
    windows = cut_windows(sequences, teacher.tokenizer, size, limit)
    total, weights = np.zeros((len(sequences), teacher.hidden_size)), np.zeros(len(sequences))
    for start in range(0, len(windows), batch_size):
        batch = windows[start : start + batch_size]
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
    parser.add_argument(
        "--longest", type=int, default=8000, help="leave longer contigs out: the plain loop's time and memory grow "
        "with the square of the longest (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, default=200, help="contigs to take (default: %(default)s)")
    parser.add_argument(
        "--batch", type=int, default=16, help="sequences a batch of the plain loop (default: %(default)s)"
    )
    parser.add_argument("--batch-tokens", type=int, help="token budget of ours (default: as in embed)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn; the median counts")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    teacher = load_teacher(options.model, choose_device(options.device))
    settings = EmbeddingSettings(batch_tokens=options.batch_tokens)
    fitting = (sequence for _, sequence in read_fasta(options.contigs) if len(sequence) <= options.longest)
    sequences = list(itertools.islice(fitting, options.limit))
    size, whole = window_bases(teacher, settings), max(map(len, sequences))
    tokens = sum(len(part) for part in teacher.tokenizer.encode(sequences))
    ways = {
        f"plain loop, {options.batch} whole contigs a batch, file order": lambda: plain_loop(
            teacher, sequences, whole, 10**9, options.batch
        ),
        f"plain loop, {options.batch} of our windows per batch, file order": lambda: plain_loop(
            teacher, sequences, size, teacher.context, options.batch
        ),
        "genestill": lambda: sequence_embeddings(teacher, sequences, settings)[0],
    }
    if teacher.model.config.model_type not in ("mistral", "esm", "llama"):
        ways.pop(next(iter(ways)))  # models with learned positions cannot exceed their context
    times, results = {name: [] for name in ways}, {}
    for _ in range(options.repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            results[name] = way()
            if teacher.device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - began)
    same, ours = list(results.values())[-2:]
    print(f"{teacher.name}, {teacher.device}, {teacher.dtype}, {torch.get_num_threads()} threads: {len(sequences)} "
          f"contigs, {sum(map(len, sequences)) / 1e6:.2f} Mb, {tokens} tokens, context {teacher.context}")  # fmt: skip
    print(f"largest difference of the embeddings of the same windows: {np.abs(same - ours).max():.2g}")
    mine = np.median(times["genestill"])
    for name, seconds in times.items():
        median = np.median(seconds)
        print(f"{tokens / median:12.0f} tokens/s  genestill is {median / mine:5.2f} x as fast  {name}")


if __name__ == "__main__":
    main()
