"""Rates of training and inference on a GPU, beside the rate of its matrix products.

    python benchmarks/gpu.py                          # on a card, about 20 minutes; writes resources/results/gpu.tsv
    python benchmarks/gpu.py --only layers encoder    # some parts
    python benchmarks/gpu.py --device cpu --short     # small shapes, as a test; nothing is written

The share of a rate is that of the matrix products (bfloat16 on CUDA, float32 on a CPU), which are measured first on
the same card: operations of the model (two per weight and token, three times as many in training, and attention) per
second.
Models have the published shapes and random weights, contigs are random bases. `busy` is the share of time in which a
kernel ran, as nvidia-smi samples it. Rows of the same card, part and setting are replaced.
"""

import argparse
import csv
import importlib.metadata
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from genestill.core.bpe import train_bpe
from genestill.core.devices import choose_device, name_of
from genestill.core.files import write_aside
from genestill.core.provenance import commit
from genestill.core.sequences import BASES, write_fasta
from genestill.core.table_schemas import INDEX
from genestill.core.tables import write_table
from genestill.core.tokenization import FastTokenizer, KmerTokenizer
from genestill.core.training.batches import Batch
from genestill.core.training.loop import train
from genestill.core.training.optimizer import AdamW, parameter_groups
from genestill.core.training.schedule import Schedule
from genestill.core.windows import pad
from genestill.student.dna.pretraining import MaskedLanguageModel, asked_batch, masked_batch
from genestill.student.dna.students import build_student
from genestill.student.encoders import EncoderModel
from genestill.student.encoders.attention import SelfAttention
from genestill.student.encoders.gated_delta_net import BidirectionalGatedDeltaNet
from genestill.student.encoders.gated_delta_rule import KERNEL
from genestill.student.encoders.heads import with_language_head
from genestill.student.encoders.sizing import PRESETS, size_for_budget
from genestill.teacher import pretraining
from genestill.teacher.architectures.architecture import find_architecture
from genestill.teacher.genomes import Genomes
from genestill.teacher.loading import load_teacher
from genestill.teacher.settings import EmbeddingSettings, PretrainingSettings
from genestill.teacher.sharding import embed_shard
from genestill.teacher.windows import cut_windows

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "resources" / "results" / "gpu.tsv"
COLUMNS = ("device", "part", "setting", "value", "unit", "share", "busy", "commit", "date")
# hidden size, width of the feed-forward block, layers, heads: as the published configurations have them.
SHAPES = {
    "GenomeOcean-100M": ("genomeocean", 768, 3072, 10, 12, 1024),
    "GenomeOcean-500M": ("genomeocean", 1536, 6144, 14, 12, 1024),
    "NT-v2-500M": ("nucleotide-transformer", 1024, 4096, 29, 16, 2048),
}
SHORT_SHAPES = {
    "GenomeOcean-tiny": ("genomeocean", 32, 128, 2, 2, 64),
    "NT-v2-tiny": ("nucleotide-transformer", 32, 128, 2, 2, 64),
}


@dataclass(frozen=True)
class Run:
    """Where and how long everything runs.

    Attributes:
        device: of torch.
        short: small shapes and few steps.
        folder: for files of the run.
    """

    device: torch.device
    short: bool
    folder: Path

    @property
    def on_gpu(self) -> bool:
        """Whether there is a card."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, work, repeats: int = 3) -> float:
        """The median of several times, after one that does not count."""
        work()
        times = []
        for _ in range(1 if self.short else repeats):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def half(self):
        """Products in bfloat16 on a card."""
        return torch.autocast("cuda", torch.bfloat16, enabled=self.on_gpu)


@contextmanager
def busy(run: Run):
    """A list that holds, at the end, the mean of what nvidia-smi says of the card, from 0 to 1; empty without one."""
    found: list[float] = []
    if not run.on_gpu:
        yield found
        return
    samples, ended = [], threading.Event()

    def look() -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"]
        while not ended.wait(0.2):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                samples.append(float(done.stdout.split()[0]))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        if samples:
            found.append(statistics.mean(samples) / 100)


def matrix_rate(run: Run) -> float:
    """Operations per second of a large product of matrices."""
    size, dtype = (8192, torch.bfloat16) if run.on_gpu else (256 if run.short else 2048, torch.float32)
    one, two = (torch.randn(size, size, device=run.device, dtype=dtype) for _ in range(2))
    times = 20 if run.on_gpu else 2

    def work() -> None:
        for _ in range(times):
            one @ two

    return 2 * size**3 * times / run.seconds(work, 5)


def operations(model: nn.Module, layers: int, hidden: int, context: int, causal: bool) -> float:
    """Operations of the forward pass of a token: two per weight of a linear map, and attention over the context."""
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    return 2 * weights + 4 * layers * hidden * context / (2 if causal else 1)


def random_contigs(bases: int, longest: int, seed: int = 0) -> list[tuple[str, str]]:
    """Contigs with the lengths of an assembly: log-normal, 5.6 kb on average."""
    generator, found, total = np.random.default_rng(seed), [], 0
    while total < bases:
        length = int(np.clip(generator.lognormal(8.3, 0.8), min(1000, longest), longest))
        found.append((f"contig{len(found)}", "".join(generator.choice(list(BASES), length))))
        total += length
    return found


def make_teacher(run: Run, shape: str) -> tuple[Path, PretrainingSettings]:
    """A folder with a model of a shape and random weights, and the settings of its size."""
    architecture, hidden, _, layers, heads, context = (SHORT_SHAPES if run.short else SHAPES)[shape]
    settings = PretrainingSettings(
        architecture, hidden_size=hidden, layers=layers, heads=heads, context=context, batch=4 if run.short else 64,
        steps=3 if run.short else 60, vocabulary=64 if run.short else 4096,
    )  # fmt: skip
    folder = run.folder / shape
    if not folder.is_dir():
        torch.manual_seed(0)
        if architecture == "genomeocean":
            pieces = [sequence for _, sequence in random_contigs(20_000 if run.short else 2_000_000, 2000)]
            tokenizer = FastTokenizer(train_bpe(pieces, settings.vocabulary, context, letters=BASES))
        else:
            tokenizer = KmerTokenizer.of_size(3 if run.short else 6, context)
        find_architecture(architecture).build(settings, tokenizer).save_pretrained(folder)
        tokenizer.save(folder)
    return folder, settings


def measure_pretraining(run: Run, rate: float):
    """`teacher pretrain` of the smallest shape: the training loop alone."""
    shape = next(iter(SHORT_SHAPES if run.short else SHAPES))
    _, settings = make_teacher(run, shape)
    kind = find_architecture(settings.architecture)
    corpus = Genomes([sequence for _, sequence in random_contigs(100_000 if run.short else 20_000_000, 1_000_000)])
    tokenizer = kind.make_tokenizer(corpus, settings)
    torch.manual_seed(0)
    model = kind.build(settings, tokenizer).to(run.device)
    words = np.flatnonzero([bool(word) and set(word) <= set(BASES) for word in tokenizer.vocabulary])
    per_token = 3 * operations(model, settings.layers, settings.hidden_size, settings.context, kind.kind == "causal")
    for compiled in (False, True) if run.on_gpu else (False,):
        if compiled:
            model.base_model.compile()
        schedule = Schedule(settings.steps, 1e-3)
        with busy(run) as found:
            history = train(
                model,
                AdamW(parameter_groups(model, schedule.rate, 0.1)),
                lambda step, parts=1: pretraining._draw(tokenizer, words, corpus, settings, step, parts),
                lambda batch: pretraining._loss(model, batch),
                settings.steps,
                divisible=True,
            )
        late = history.iloc[len(history) // 2 :]
        tokens = late["tokens"].sum() / (late["seconds"].iloc[-1] - history["seconds"].iloc[len(history) // 2 - 1])
        setting = f"{shape}, {settings.batch} x {settings.context} tokens{', compiled' if compiled else ''}"
        yield "teacher pretrain", setting, tokens, "tokens/s", tokens * per_token / rate, found


def plain_loop(teacher, sequences: list[str], batch: int) -> None:
    """What one writes first: windows in file order, padded to the longest of their batch."""
    size = teacher.context * teacher.tokenizer.bases_per_token
    windows = cut_windows(sequences, teacher.tokenizer, size, teacher.context)
    for first in range(0, len(windows), batch):
        ids, mask = (torch.from_numpy(x).to(teacher.device)
                     for x in pad(windows[first : first + batch], teacher.tokenizer.pad))  # fmt: skip
        with torch.inference_mode():
            states = teacher.model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1].float()
        (states * mask[..., None]).sum(1).cpu().numpy()


def measure_embedding(run: Run, rate: float):
    """`teacher embed` of whole contigs, the command from reading to writing; and the plain loop on some of them."""
    import pandas as pd

    for shape in SHORT_SHAPES if run.short else SHAPES:
        folder, settings = make_teacher(run, shape)
        contigs = random_contigs(20_000 if run.short else 60_000_000, 200_000)
        write_fasta(run.folder / "contigs.fna", contigs)
        lengths = [len(sequence) for _, sequence in contigs]
        table = pd.DataFrame({"id": [name for name, _ in contigs], "length": lengths, "gc": np.float32(0.5)})
        table["sample"], table["checksum"] = "", "0" * 16
        write_table(run.folder / "index.parquet", table, INDEX)
        output = run.folder / "embeddings.parquet"
        arguments = (folder, run.folder / "contigs.fna", run.folder / "index.parquet", output, EmbeddingSettings())
        with busy(run) as found:
            began = time.perf_counter()
            embed_shard(*arguments, device=str(run.device))
            taken = time.perf_counter() - began
        tokens = pd.read_parquet(output, columns=["tokens"])["tokens"].sum()
        teacher = load_teacher(folder, run.device)
        per_token = operations(
            teacher.model.base_model, settings.layers, settings.hidden_size, settings.context, teacher.kind == "causal"
        )
        yield "teacher embed", shape, tokens / taken, "tokens/s", tokens / taken * per_token / rate, found
        some = [sequence for _, sequence in contigs[: max(1, len(contigs) // 20)]]
        counted = sum(len(part) for part in teacher.tokenizer.encode(some))
        plain = counted / run.seconds(lambda teacher=teacher, some=some: plain_loop(teacher, some, 16), 1)
        yield "teacher embed", f"{shape}, plain loop", plain, "tokens/s", plain * per_token / rate, []


def measure_deberta(run: Run, rate: float):
    """Pretraining of a DeBERTa student, in the training loop; on a card in float32 as well."""
    name, length, size, steps = ("deberta-tiny", 32, 4, 3) if run.short else ("deberta-23M-at-xsmall", 512, 64, 60)
    windows = [sequence for _, sequence in random_contigs(40_000 if run.short else 4_000_000, 5 * length)]
    train_bpe(windows[:400], 96 if run.short else 4096).save_pretrained(run.folder / "tokenizer")
    for half in (True, False) if run.on_gpu else (False,):
        torch.manual_seed(0)
        student, adapter = build_student(name, run.folder / "tokenizer", max_tokens=length)
        model = MaskedLanguageModel(with_language_head(student)).to(run.device)

        def draw(step: int, parts: int = 1, adapter=adapter) -> list[Batch]:
            generator = np.random.default_rng(step)
            chosen = [windows[row] for row in generator.integers(len(windows), size=size)]
            batch, targets = masked_batch(chosen, adapter, "tokens", 0.15, length, generator)
            return [asked_batch(batch | {"targets": targets})]

        def loss(batch, model=model, half=half):
            with torch.autocast("cuda", torch.bfloat16, enabled=half):
                return model(**batch), {}

        with busy(run) as found:
            history = train(model, AdamW(parameter_groups(model, Schedule(steps, 1e-3).rate, 0.1)), draw, loss, steps)
        middle = len(history) // 2
        taken = history["seconds"].iloc[-1] - history["seconds"].iloc[middle - 1]
        setting = f"{name}, {size} x {length}, {'bfloat16' if half else 'float32'}"
        yield "student pretrain-dna", setting, history["tokens"].iloc[middle:].sum() / taken, "tokens/s", None, found


def measure_encoder(run: Run, rate: float):
    """Inference and training steps of the encoder of 1.1 million parameters by length."""
    torch.manual_seed(0)
    config = EncoderModel.config_class(**PRESETS["had"]) if not run.short else size_for_budget("delta_hybrid", 20_000)
    model = EncoderModel(config).to(run.device)
    tokens, lengths = (512, (128, 256)) if run.short else (262_144, (512, 4096, 16_384, 65_536))
    like = torch.empty(0, dtype=torch.bfloat16, device=run.device)
    kernel = KERNEL.working(like, config.hidden_size // config.num_attention_heads)
    way = "kernel" if kernel else "chunks"
    for length in lengths:
        ids = torch.randint(0, 4, (max(1, tokens // length), length), device=run.device)

        def infer(ids=ids) -> None:
            with torch.inference_mode(), run.half():
                model.embed(ids)

        def step(ids=ids) -> None:
            with run.half():
                loss = model.embed(ids).float().square().mean()
            loss.backward()

        inference = ids.numel() / run.seconds(infer)
        yield "encoder, inference", f"{length} bases, {way}", inference, "tokens/s", None, []
        if length <= 16_384:
            training = ids.numel() / run.seconds(step)
            yield "encoder, forward and backward", f"{length} bases, {way}", training, "tokens/s", None, []
        model.zero_grad()


def layers_of(hidden: int, heads: int) -> dict[str, nn.Module]:
    """Whole mixers of about as many weights, by name; flash-linear-attention's own where it is installed."""
    found: dict[str, nn.Module] = {
        "gated delta net, both directions": BidirectionalGatedDeltaNet(hidden, heads, 5, 1e-6),
        "full attention": SelfAttention(hidden, heads, 0),
        "attention within 256": SelfAttention(hidden, heads, 256),
    }
    try:
        from fla.layers import GatedDeltaNet
    except Exception as error:  # it refuses in many ways where there is no card
        print(f"flash-linear-attention's layer is left out ({type(error).__name__})", file=sys.stderr)
        return found

    class BothWays(nn.Module):
        """Its causal layer forward and backward, so that it does what ours does."""

        def __init__(self):
            super().__init__()
            self.layer = GatedDeltaNet(hidden, expand_v=1, head_dim=hidden // heads, num_heads=heads, mode="chunk")

        def forward(self, hidden_states: torch.Tensor, mask) -> torch.Tensor:
            return self.layer(hidden_states)[0] + self.layer(hidden_states.flip(1))[0].flip(1)

    return found | {"flash-linear-attention's layer, both directions": BothWays()}


def measure_layers(run: Run, rate: float):
    """Time and memory of whole layers, forward and backward, by length."""
    torch.manual_seed(0)
    hidden, heads = (32, 2) if run.short else (128, 4)
    for name, layer in layers_of(hidden, heads).items():
        layer = layer.to(run.device).train()
        for length in (256, 1024) if run.short else (1024, 4096, 16_384, 65_536):
            if name == "full attention" and not run.on_gpu and length > 16_384:
                continue
            states = torch.randn(1, length, hidden, device=run.device, requires_grad=True)

            def step(layer=layer, states=states) -> None:
                with run.half():
                    seen = layer.positions(states, None) if isinstance(layer, SelfAttention) else None
                    loss = layer(states, seen).float().square().mean()
                loss.backward()

            try:
                taken = run.seconds(step)
            except Exception as error:  # a kernel that refuses is a finding
                print(f"{name}, {length} bases: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
                break
            yield "layer, seconds", f"{name}, {length} bases", taken, "s", None, []
            if run.on_gpu:
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                step()
                peak = (torch.cuda.max_memory_allocated() - before) / 1e6
                yield "layer, memory", f"{name}, {length} bases", peak, "MB", None, []


def measure_start(run: Run, rate: float):
    """Seconds until a command has imported what it needs, in a new process."""
    modules = {"teacher embed": "genestill.teacher.sharding", "teacher pretrain": "genestill.teacher.pretraining",
               "student pretrain-dna": "genestill.student.dna.pipeline",
               "student embed": "genestill.student.encoders.streaming"}  # fmt: skip
    for command, module in dict(list(modules.items())[: 1 if run.short else None]).items():
        program = [sys.executable, "-c", f"import genestill.cli, {module}; genestill.cli.build_parser()"]
        taken = run.seconds(lambda program=program: subprocess.run(program, check=True))
        yield "start-up", command, taken, "s", None, []


PARTS = {
    "pretraining": measure_pretraining,
    "embedding": measure_embedding,
    "deberta": measure_deberta,
    "encoder": measure_encoder,
    "layers": measure_layers,
    "start": measure_start,
}


def versions() -> str:
    """Versions of what decides the rates."""
    found = []
    for name in ("torch", "triton", "transformers", "flash-linear-attention"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Add rows to a table, in the place of those of the same device, part and setting."""
    key = ("device", "part", "setting")
    held = []
    if path.is_file():
        with open(path, encoding="utf-8", newline="") as file:
            held = list(csv.DictReader(file, delimiter="\t"))
    fresh = {tuple(row[name] for name in key) for row in rows}
    kept = [row for row in held if tuple(row[name] for name in key) not in fresh]
    with write_aside(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])


def main(arguments: list[str] | None = None) -> list[dict[str, str]]:
    """Measure, print each row as it is there, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--short", action="store_true", help="small shapes; nothing is written unless --table is given")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--table", type=Path, help="where rows go (default on a card: resources/results/gpu.tsv)")
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    table = options.table or (TABLE if device.type == "cuda" and not options.short else None)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    print(f"{name_of(device)}: {versions()}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(device, options.short, Path(folder))
        rate = matrix_rate(run)
        measured = [("matrix products", "bfloat16" if run.on_gpu else "float32", rate / 1e12, "TFLOP/s", None, [])]
        for part in ["", *options.only]:
            for what, setting, value, unit, share, used in PARTS[part](run, rate) if part else measured:
                row = {
                    "device": name_of(device),
                    "part": what,
                    "setting": setting,
                    "value": f"{value:.4g}",
                    "unit": unit,
                    "share": "" if share is None else f"{share:.3f}",
                    "busy": f"{used[0]:.2f}" if used else "",
                    "commit": (commit() or "")[:12],
                    "date": datetime.now(UTC).date().isoformat(),
                }
                rows.append(row)
                print("\t".join(row[name] for name in COLUMNS[1:7]), flush=True)
                if table:
                    write_rows(table, rows)
    return rows


if __name__ == "__main__":
    main()
