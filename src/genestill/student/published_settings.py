"""The published settings of TaxDistill, apart from the code that needs torch: the command line shows them."""

from dataclasses import dataclass

TEACHERS = ("embeddings", "none", "self")


@dataclass
class PublishedSettings:
    """README of the authors' code: alpha 0.3, temperature 4, batches of 64; the rest is fixed in their code.

    ``alpha`` weighs the labels, 1 - alpha the teacher (as the code does; their README says the reverse).
    """

    alpha: float = 0.3
    temperature: float = 4.0
    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    head_learning_rate: float = 1e-4
    accumulation: int = 8
    teacher: str = "embeddings"
