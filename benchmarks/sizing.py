"""Duration of a run in hours, by number of contigs and of GPUs: the tables of docs/how-to/sizing.md.

    python benchmarks/sizing.py

Rates of the CPU are measured (below, with where and how). Those of an A100 are computed from the operations of the
teacher's architecture and an assumed utilisation; those of the cards of resources/results/gpu.tsv were measured by
benchmarks/gpu.py. Replace them by your own values.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).resolve().parents[1] / "resources" / "results" / "gpu.tsv"

BASES = 5_600  # mean length of a contig in config/community.yaml


@dataclass(frozen=True)
class Teacher:
    """A teacher's architecture; the defaults are those of GenomeOcean-500M with its middle layer (`layer: middle`)."""

    hidden_size: int = 1536
    feed_forward: int = 6144
    layers: int = 8  # 7 of 14, and one more: transformers returns a state after the next layer or the final norm
    context: int = 1024
    bases_of_token: float = 5.0

    def operations_of_base(self) -> float:
        """Floating-point operations per base on one strand: two per weight, and attention over the context."""
        weights = 4 * self.hidden_size**2 + 3 * self.hidden_size * self.feed_forward
        attention = 4 * self.context * self.hidden_size
        return self.layers * (2 * weights + attention) / self.bases_of_token


@dataclass(frozen=True)
class Machine:
    """GPUs, eight per node, and the cores of the nodes.

    Attributes:
        peak: operations per second of a GPU in bfloat16, from its data sheet (A100: 312e12) or measured.
        utilisation: share of the peak that the teacher reaches. Assumed or measured.
        cores: cores per node.
        together: number of corrector trainings that fit into the memory of a node at the same time.
        search: bases per second and core of MMseqs2 with the 47 genomes of config/community.yaml. Measured with two.
        train: seconds per contig of the corrector's training, 25 epochs, 500 species, one core. Measured at 10,000.
        predict: seconds per contig of `student predict`, one core. Measured from 10,000 to 100,000.
    """

    peak: float = 312e12
    utilisation: float = 0.4
    cores: int = 32
    together: int = 8
    search: float = 0.19e6
    train: float = 1.9e-3
    predict: float = 1.2e-4


RUN = 1_000_000  # contigs of one run; more contigs are several parallel runs


def hours(contigs: int, taught: int, gpus: int, teacher: Teacher, machine: Machine) -> dict[str, float]:
    """Hours of each stage.

    ``taught`` of the ``contigs`` are used for teacher, search and training, in runs of `RUN`; one run is searched and
    trained on one node. The others are classified only by a student.
    """
    runs, nodes = max(1, taught // RUN), max(1, gpus // 8)
    seconds = {
        "teacher": taught * BASES * teacher.operations_of_base() / (machine.peak * machine.utilisation) / gpus,
        "search": taught * BASES / (machine.search * machine.cores) / min(nodes, runs),
        "training": taught * machine.train / min(nodes * machine.together, runs),
        "student alone": (contigs - taught) * machine.predict / (machine.cores * nodes),
    }
    return {stage: value / 3600 for stage, value in seconds.items()}


def table(teacher: Teacher, machine: Machine) -> str:
    """The Markdown table."""
    lines = [
        "| contigs | taught | GPUs | teacher | search | training | student alone | in all | longest |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for contigs, taught in ((RUN, RUN), (100 * RUN, 100 * RUN), (100 * RUN, RUN)):
        for gpus in (1, 8, 64):
            found = hours(contigs, taught, gpus, teacher, machine)
            cells = [f"{value:.2f}" for value in (*found.values(), sum(found.values()))]
            longest = max(found, key=found.get)
            lines.append(f"| {contigs:,} | {taught:,} | {gpus} | {' | '.join(cells)} | {longest} |")
    return "\n".join(lines)


def measured_cards(path: Path = MEASURED) -> dict[str, Machine]:
    """Machines with the cards of a table of `benchmarks/gpu.py` on which the teacher of the tables was measured."""
    peaks, shares = {}, {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["part"] == "matrix products":
                peaks[row["device"]] = 1e12 * float(row["value"])
            if (row["part"], row["setting"]) == ("teacher embed", "GenomeOcean-500M"):
                shares[row["device"]] = float(row["share"])
    return {card: Machine(peak=peaks[card], utilisation=share) for card, share in shares.items() if card in peaks}


def main() -> None:
    """Print the modelled table, and one for each card that was measured."""
    print(f"A100, modelled\n\n{table(Teacher(), Machine())}")
    for card, machine in measured_cards().items():
        print(f"\n{card}, measured\n\n{table(Teacher(), machine)}")


if __name__ == "__main__":
    main()
