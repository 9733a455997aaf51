"""The light student of the taxonomy recipes: a multilayer perceptron with features of contigs as input."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import genestill
from genestill.core.errors import InputError
from genestill.core.files import make_folder, read_json
from genestill.core.label_tree import LabelTree

WEIGHTS, CONFIGURATION, TREE = "model.safetensors", "config.json", "label_tree.tsv"


@dataclass
class CorrectorConfig:
    """The settings that are needed to rebuild a corrector and to make its inputs.

    Attributes:
        groups: size of each input group, in the order of concatenation.
        leaves: number of leaves of the label tree.
        hidden_size, layers, dropout: of the perceptron.
        samples: names of the samples of the "abundance" group; empty without abundances.
        temperature: divisor of the logits before the softmax (fitted with the evidence of held-out contigs and their
            neighbours; also used for contigs with less information).
        teacher: name, revision, layer and pooling of the teacher; empty without one.
        provenance: free-form: seed, and the fitted weight of the teacher.
    """

    groups: dict[str, int]
    leaves: int
    hidden_size: int = 256
    layers: int = 2
    dropout: float = 0.1
    samples: list[str] = field(default_factory=list)
    temperature: float = 1.0
    teacher: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)


def _is_count(value, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# Field of a configuration -> check of its value, and the expected value for messages.
_ACCEPTED = {
    "groups": (
        lambda value: isinstance(value, dict) and bool(value) and all(_is_count(width) for width in value.values()),
        "the widths of the groups of inputs by name",
    ),
    "leaves": (_is_count, "a whole number above zero"),
    "hidden_size": (_is_count, "a whole number above zero"),
    "layers": (lambda value: _is_count(value, 0), "a whole number of at least zero"),
    "dropout": (lambda value: _is_number(value) and 0 <= value < 1, "a number of at least 0 and less than 1"),
    "samples": (
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
        "a list of names",
    ),
    "temperature": (lambda value: _is_number(value) and value > 0, "a number above zero"),
    "teacher": (lambda value: isinstance(value, dict), "an object"),
    "provenance": (lambda value: isinstance(value, dict), "an object"),
}


class Corrector(nn.Module):
    """A network from input groups and optional search evidence to logits over the leaves of a label tree.

    Groups are standardised with constants of the training set. For a missing group, the values are zeros and its flag
    is 0. Evidence is added to the logits of the leaves that the search supports, multiplied by a learnt weight. Groups
    and evidence are dropped at random in training, so that the same student can be used with and without abundances,
    and with and without a search.
    """

    def __init__(self, config: CorrectorConfig, tree: LabelTree):
        super().__init__()
        self.config, self.tree = config, tree
        width = sum(config.groups.values())
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("leaf_prior", torch.full((config.leaves,), 1 / config.leaves))
        layers: list[nn.Module] = []
        size = width + len(config.groups)
        for _ in range(config.layers):
            layers += [
                nn.Linear(size, config.hidden_size),
                nn.LeakyReLU(),
                nn.Dropout(config.dropout),
                nn.BatchNorm1d(config.hidden_size),
            ]
            size = config.hidden_size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(size, config.leaves)
        self.evidence_weight = nn.Parameter(torch.ones(()))

    def forward(
        self,
        values: torch.Tensor,
        present: torch.Tensor,
        evidence_leaves: torch.Tensor | None = None,
        evidence_gains: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits over the leaves.

        Args:
            values: float32 [b, width], standardised.
            present: float32 [b, groups], 1 if the group is present; values of missing groups are ignored.
            evidence_leaves: int64 [b, e], leaves that the search supports, padded with any leaf.
            evidence_gains: float32 [b, e], log (posterior / prior) of each, 0 for padding.

        Returns:
            float32 [b, leaves].
        """
        logits = self.head(self.represent(values, present))
        if evidence_leaves is None or evidence_gains is None:
            return logits
        return logits.scatter_add_(1, evidence_leaves, self.evidence_weight * evidence_gains)

    def represent(self, values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """The last hidden layer, before evidence is added: float32 [b, hidden size]."""
        widths = torch.tensor(list(self.config.groups.values()), device=values.device)
        kept = torch.repeat_interleave(present, widths, dim=1, output_size=values.shape[1])
        return self.body(torch.cat([values * kept, present], dim=1))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and label_tree.tsv into ``folder`` (temporary, made by the caller)."""
        folder = Path(folder)
        make_folder(folder)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS)
        self.tree.save(folder / TREE)
        configuration = {"model_type": "genestill-corrector", "genestill": genestill.__version__, **asdict(self.config)}
        (folder / CONFIGURATION).write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Corrector":
        """Open a folder written by `save_pretrained`, in evaluation mode; raises `InputError` for other folders."""
        folder = Path(folder)
        for name in (CONFIGURATION, WEIGHTS, TREE):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder}: no {name}; expected the folder of a student (genestill student train-corrector)"
                )
        configuration = read_json(folder / CONFIGURATION)
        if not isinstance(configuration, dict) or configuration.pop("model_type", None) != "genestill-corrector":
            raise InputError(f"{folder / CONFIGURATION}: not a corrector (model_type is not 'genestill-corrector')")
        configuration.pop("genestill", None)
        configuration.pop("threshold", None)  # written by version 0.1.0; since then an option of the commands
        tree = LabelTree.load(folder / TREE)
        if len(tree.leaves) != configuration.get("leaves"):
            raise InputError(
                f"{folder / TREE}: {len(tree.leaves)} leaves, but {configuration.get('leaves')} in config.json"
            )
        try:
            config = CorrectorConfig(**configuration)
            weights = load_file(folder / WEIGHTS)
            _refuse_unfit(config, weights, folder)
            student = cls(config, tree)
            student.load_state_dict(weights)
        except (TypeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: config.json and model.safetensors do not match: {error}") from None
        return student.eval()


def _refuse_unfit(config: CorrectorConfig, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Refuse a configuration with wrong types or bounds, or sizes that differ from the weights, before building."""
    file = folder / CONFIGURATION
    for name, (accepts, expected) in _ACCEPTED.items():
        if not accepts(getattr(config, name)):
            raise InputError(f"{file}: {name} is {str(getattr(config, name))[:40]!r}; expected {expected}")
    layers = sum(name.startswith("body.") and weight.ndim == 2 for name, weight in weights.items())
    head = weights.get("head.weight")
    sizes = {
        "layers": (config.layers, layers),
        "hidden_size": (config.hidden_size, head.shape[1] if head is not None and layers else config.hidden_size),
        "the sum of groups": (sum(config.groups.values()), len(weights.get("mean", ()))),
    }
    for name, (told, held) in sizes.items():
        if told != held:
            raise InputError(f"{file}: {name} is {told}, but {held} by {WEIGHTS}; they belong to different models")
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise InputError(f"{folder / WEIGHTS}: {name} has values that are not finite; train it again")
    if "scale" in weights and not (weights["scale"] > 0).all():
        raise InputError(f"{folder / WEIGHTS}: scale has values that are not above zero; train it again")
