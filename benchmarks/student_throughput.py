"""Transcripts and bases per second of a student and of teachers, on the same sequences, with equal numbers of threads.

Speed does not depend on the values of weights, so an untrained teacher of a published size is sufficient:

    genestill teacher pretrain --architecture nucleotide-transformer --hidden-size 1024 --layers 29 --heads 16 \\
        --context 64 --batch 1 --steps 1 --genomes transcripts.fna.gz --output ntv2-500M-untrained
    python benchmarks/student_throughput.py --student FOLDER --teacher ntv2-500M-untrained \\
        --sequences transcripts.fna.gz
"""

import argparse
import itertools
import time
from statistics import median

import torch

from genestill.core.sequences import read_fasta
from genestill.student.encoders.embedding import Embedder, Record
from genestill.teacher.embedding import sequence_embeddings
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import EmbeddingSettings


def main() -> None:
    """Time every model in turn, as often as requested, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", required=True, metavar="FOLDER")
    parser.add_argument("--teacher", required=True, nargs="+", metavar="FOLDER")
    parser.add_argument("--sequences", required=True, metavar="FASTA")
    parser.add_argument("--limit", type=int, default=100, help="sequences to take (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each model (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sequences = [sequence for _, sequence in itertools.islice(read_fasta(options.sequences), options.limit)]
    bases = sum(map(len, sequences))
    student = Embedder(options.student, "cpu", threads=options.threads)
    records = [Record(str(number), sequence) for number, sequence in enumerate(sequences)]
    models = {options.student: (student.model.num_parameters(), lambda: student.embed(records))}
    for folder in options.teacher:
        teacher = load_teacher(folder, torch.device("cpu"))
        models[folder] = (
            sum(tensor.numel() for tensor in teacher.model.parameters()),
            lambda teacher=teacher: sequence_embeddings(teacher, sequences, EmbeddingSettings()),
        )
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(options.repeats):
        for name, (_, embed) in models.items():
            began = time.perf_counter(), time.process_time()
            embed()
            seconds[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    print(f"{len(sequences)} sequences, {bases} bases, torch {torch.__version__}, {options.threads} threads")
    print("model\tM parameters\tsequences per second\tMb per CPU second\ttime, student = 1\tCPU time, student = 1")
    ours = [median(values) for values in zip(*seconds[options.student], strict=True)]
    for name, (parameters, _) in models.items():
        wall, cpu = (median(values) for values in zip(*seconds[name], strict=True))
        figures = parameters / 1e6, len(sequences) / wall, bases / cpu / 1e6, wall / ours[0], cpu / ours[1]
        print(name, *(f"{figure:.4g}" for figure in figures), sep="\t")


if __name__ == "__main__":
    main()
