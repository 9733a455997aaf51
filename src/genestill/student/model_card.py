"""The model card of a released student: description, measured performance and limits."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml
from safetensors import SafetensorError, safe_open

import genestill
from genestill.core.errors import InputError
from genestill.core.files import read_json, sha256_of, write_text
from genestill.student.corrector.network import Corrector
from genestill.student.encoders.classification import is_classifier, open_classifier
from genestill.student.encoders.embedding import open_model, open_student

RECORD_SHOWN = ("settings", "seed", "found", "hardware", "libraries", "python", "genestill", "commit", "source")
LANGUAGE_HEADS = ("language_head.", "cls.")  # tensors of the language head of a pretrained student
FIGURE_KEYS = ["benchmark", "dataset", "task", "stratum", "variant", "threshold", "metric", "minus"]
_KINDS = {
    "genestill-encoder": (
        ["dna", "rna", "encoder", "distillation"],
        "transformers",
        """\
Needs genestill, which has the architecture: `pip install .` in a clone of its repository.

```python
import genestill.student.encoders  # registers the architecture
from transformers import AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("this folder").eval()
tokenizer = AutoTokenizer.from_pretrained("this folder")
embeddings = model.embed(**tokenizer(["ACGTACGT", "GGCA"], padding=True, return_tensors="pt"))
```

Files of any size: `genestill student embed sequences.fa.gz --model FOLDER -o embeddings.parquet`. Without torch:
`genestill student export-onnx --model FOLDER -o student.onnx`.""",
    ),
    "deberta-v2": (
        ["dna", "encoder"],
        "transformers",
        """\
Needs transformers (`pip install transformers torch`); the command below needs genestill.

```python
from transformers import AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("this folder").eval()
tokenizer = AutoTokenizer.from_pretrained("this folder")
```

Files of any size: `genestill student embed sequences.fa.gz --model FOLDER -o embeddings.parquet`. Without torch:
`genestill student export-onnx --model FOLDER -o student.onnx`.""",
    ),
    "classifier": (
        ["dna", "text-classification"],
        "transformers",
        """\
`genestill student classify sequences.fa.gz --model FOLDER -o classes.tsv` classifies files of any size. In Python:

```python
import genestill.student.encoders  # registers the architecture
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("this folder").eval()
tokenizer = AutoTokenizer.from_pretrained("this folder")
logits = model(**tokenizer(["ACGTACGT", "GGCA"], padding=True, return_tensors="pt")).logits
```""",
    ),
    "genestill-corrector": (
        ["metagenomics", "taxonomy", "distillation"],
        "genestill",
        "`genestill student predict --model FOLDER --contigs contigs.fna.gz …` annotates contigs, without the teacher.",
    ),
}


_KINDS["roformer"] = _KINDS["deberta-v2"]

_PIPELINES = {
    "genestill-encoder": "feature-extraction",
    "deberta-v2": "feature-extraction",
    "roformer": "feature-extraction",
    "classifier": "text-classification",
}


@dataclass(frozen=True)
class Card:
    """The content of a card that is not in the student's folder.

    Attributes:
        title: first line.
        summary: a paragraph for readers who do not know the student.
        limits: sentences, each about something that the student cannot do or that was not measured.
        licence: licence of the weights, as an identifier of the Hugging Face Hub.
        teacher: name, revision, and further information; by default from config.json.
        training: compute and data: hardware, hours, steps, sequences, and so on.
        record: record of the command that trained the student, see `provenance.record_command`.
        figures: rows of `table_schemas.METRICS`, only of this student; see `summarise_figures`.
        figures_source: where the figures were measured, as text.
    """

    title: str
    summary: str
    limits: Sequence[str]
    licence: str = "mit"
    teacher: dict | None = None
    training: dict = field(default_factory=dict)
    record: dict | None = None
    figures: pd.DataFrame | None = None
    figures_source: str = ""


def write_model_card(folder: str | Path, card: Card) -> None:
    """Write ``folder``/README.md with the YAML header of the Hugging Face Hub, atomically.

    Supports every ``model_type`` in config.json that genestill trains.

    Raises:
        InputError: no complete student in the folder; or a card without title, summary or limits, because every
            student has limits.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    kind = "classifier" if is_classifier(config) else config.get("model_type")
    if kind not in _KINDS:
        raise InputError(f"{folder}/config.json: model_type is {kind!r}; expected one of {', '.join(_KINDS)}")
    for name in ("title", "summary", "limits"):
        if not getattr(card, name):
            raise InputError(f"model card of {folder}: {name} is missing; a card needs it")
    # A student that cannot be opened must not be released.
    openers = {
        "genestill-encoder": open_student,
        "genestill-corrector": Corrector.from_pretrained,
        "classifier": open_classifier,
    }
    openers.get(kind, open_model)(folder)
    tags, library, usage = _KINDS[kind]
    teacher = card.teacher if card.teacher is not None else config.get("teacher")
    figures = summarise_figures(card.figures) if card.figures is not None else None
    if "provenance" in card.training:
        raise InputError(
            f"model card of {folder}: the training was recorded by an earlier version of genestill; train the student "
            "again, or leave the training out"
        )
    training = _pairs(card.training) + _pairs(_shown(card.record or {}))
    header = {
        "license": card.licence,
        "library_name": library,
        "tags": ["genestill", *tags],
        **({"pipeline_tag": _PIPELINES[kind]} if kind in _PIPELINES else {}),
        **({"model-index": [_model_index(card.title, figures)]} if figures is not None and len(figures) else {}),
    }
    parts = [
        "---\n" + yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000) + "---",
        f"# {card.title}",
        card.summary,
        _table(["", ""], _facts(folder, config)),
        "## Use",
        usage,
        "## Teacher",
        _table(["", ""], _pairs(teacher)) if teacher else "None: this student was not distilled.",
        "## Figures",
        _figures_text(figures, card.figures_source),
        "## Training",
        _table(["", ""], training) if training else "Not recorded.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in card.limits),
    ]
    write_text(folder / "README.md", "\n\n".join(part for part in parts if part) + "\n")


def parameters_of(folder: str | Path) -> int:
    """Number of parameters in the safetensors files of a model folder, without a language head; reads only headers."""
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors in this folder; expected a model")
    count = 0
    for file in files:
        try:
            with safe_open(file, framework="np") as tensors:
                names = [name for name in tensors.keys() if not name.startswith(LANGUAGE_HEADS)]  # noqa: SIM118
                count += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{file}: not a complete safetensors file ({error})") from None
    return count


def summarise_figures(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per figure: the columns `FIGURE_KEYS`, value, low, high, n_units, repeats (seeds and folds), ranged.

    ``metrics`` has the columns of `METRICS`. An interval in the table is kept. Otherwise, several seeds or folds give
    the mean and its range (``ranged``), which is no interval, because splits of the same rows are not independent; and
    a single one gives neither (NaN). Undefined values (null) are left out.

    Raises:
        InputError: figures of more than one model.
    """
    models = sorted(metrics["model"].unique())
    if len(models) > 1:
        raise InputError(f"figures of {len(models)} models ({', '.join(models)}); choose one of them")
    rows = []
    for key, group in metrics.dropna(subset=["value"]).groupby(FIGURE_KEYS, sort=True, dropna=False):
        by_repeat = group.groupby(["seed", "fold"], dropna=False)["value"].mean()
        known = bool(group["low"].notna().all())
        ranged = not known and len(by_repeat) > 1
        if known:
            low, high = float(group["low"].mean()), float(group["high"].mean())
        else:
            low, high = (by_repeat.min(), by_repeat.max()) if ranged else (math.nan, math.nan)
        rows.append([*key, group["value"].mean(), low, high, int(group["n_units"].max()), len(by_repeat), ranged])
    return pd.DataFrame(rows, columns=[*FIGURE_KEYS, "value", "low", "high", "n_units", "repeats", "ranged"])


def _facts(folder: Path, config: dict) -> list[tuple[str, str]]:
    facts = [
        ("parameters", f"{parameters_of(folder):,}"),
        ("weights (SHA-256)", f"`{sha256_of(folder / 'model.safetensors')}`"),
        ("made with", f"genestill {config.get('genestill', genestill.__version__)}"),
    ]
    if config["model_type"] == "genestill-encoder":
        facts += [
            ("backbone", config["backbone"]),
            ("shape", f"{config['num_hidden_layers']} layers of width {config['hidden_size']}"),
            ("input", f"single nucleotides, up to {config['max_length']:,} at once, {config['tracks']} tracks"),
            ("reverse complement", "both strands are averaged" if config["reverse_complement"] else "not used"),
            ("pooling", config["pooling"]),
            ("tokens are pooled at width", str(config.get("expansion") or config["hidden_size"])),
        ]
    if config["model_type"] != "genestill-corrector":
        longest = config["max_length" if config["model_type"] == "genestill-encoder" else "max_position_embeddings"]
        read = f"cut into the fewest windows of at most {longest:,} tokens, whose vectors are averaged by length"
        facts.append(("longer sequences", read))
    return facts


def _shown(record: dict) -> dict:
    """The part of a record that is useful without its files: no paths of inputs."""
    shown = {part: record[part] for part in RECORD_SHOWN if part in record}
    files = {role.split()[0] for role in record.get("inputs", {})}
    if "settings" in shown:
        shown["settings"] = {name: value for name, value in shown["settings"].items() if name not in files}
    if "found" in shown:
        shown["found"] = {name: value for name, value in shown["found"].items() if name != "checksums"}
    return shown


def _pairs(values) -> list[tuple[str, str]]:
    """Rows of a table, one per value; keys of nested objects are joined by dots."""
    if not isinstance(values, dict):
        return [("name", str(values))]
    pairs = []
    for key, value in values.items():
        if isinstance(value, dict):
            pairs += [(f"{key}.{inner}", text) for inner, text in _pairs(value)]
        elif value not in (None, []):
            pairs.append((key, json.dumps(value) if isinstance(value, list) else str(value)))
    return pairs


def _figures_text(figures: pd.DataFrame | None, source: str) -> str:
    if figures is None or not len(figures):
        return "This student has not been measured; measure it before you compare it with others."
    body = [
        [row.benchmark, row.dataset, row.task, row.stratum, _metric(row), f"{row.value:.3f}",
         "one seed" if math.isnan(row.low) else f"{row.low:.3f} to {row.high:.3f}{' (range)' if row.ranged else ''}",
         f"{row.n_units:,}", row.repeats]
        for row in figures.itertuples()
    ]  # fmt: skip
    columns = [
        "benchmark",
        "dataset",
        "task",
        "stratum",
        "metric",
        "value",
        "95 % interval, or range of seeds",
        "n",
        "seeds",
    ]
    return (f"{source}\n\n" if source else "") + _table(columns, body)


def _metric(row) -> str:
    """The metric with its further parameters: ``f1, threshold 0.8``."""
    threshold = f"threshold {row.threshold}" if row.threshold not in ("", "own") else ""
    parts = [row.metric, f"minus {row.minus}" if row.minus else "", row.variant, threshold]
    return ", ".join(part for part in parts if part)


def _model_index(title: str, figures: pd.DataFrame) -> dict:
    results = [
        {
            "task": {"type": "other", "name": f"{task}"},
            "dataset": {"type": f"{benchmark}", "name": f"{dataset} ({stratum})"},
            "metrics": [
                {"type": row.metric, "name": _metric(row), "value": round(float(row.value), 4)}
                for row in group.itertuples()
            ],
        }
        for (benchmark, dataset, task, stratum), group in figures.groupby(FIGURE_KEYS[:4], sort=True)
    ]
    return {"name": title, "results": results}


def _table(columns: Sequence[str], rows) -> str:
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, rows)])
