"""The input tensors of the corrector."""

import numpy as np
import torch

from genestill.core.errors import InputError
from genestill.student.corrector.network import Corrector


class Inputs:
    """The corrector's inputs for a set of contigs, as tensors: values, present, evidence leaves and gains."""

    def __init__(
        self, student: Corrector, groups: dict[str, np.ndarray], evidence: tuple[np.ndarray, np.ndarray] | None
    ):
        contigs = len(next(iter(groups.values())))
        values, present = [], []
        for name, width in student.config.groups.items():
            known = name in groups
            if known and groups[name].shape[1] != width:
                raise InputError(
                    f"{name}: {groups[name].shape[1]} values per contig; the student was trained with {width}"
                )
            values.append(groups[name] if known else np.zeros((contigs, width), dtype=np.float32))
            present.append(np.full(contigs, known, dtype=np.float32))
        self.values = torch.from_numpy(np.hstack(values)).sub_(student.mean).div_(student.scale)
        self.present = torch.from_numpy(np.column_stack(present))
        leaves, gains = evidence or (np.zeros((contigs, 1), np.int64), np.zeros((contigs, 1), np.float32))
        self.leaves, self.gains = torch.from_numpy(leaves), torch.from_numpy(gains)

    def __len__(self) -> int:
        return len(self.values)
