"""Cost of the gated delta rule and the encoders: time compared with the plain recurrence, memory, tokens per second.

    python benchmarks/gated_delta_rule.py [rule|growth|memory|encoders] [--threads 1] [--device cpu]

Times are the best of several runs: CPU seconds of this process on a CPU, seconds on CUDA. Memory is the increase of the
peak since the start: resident set of a new process for each length on a CPU, allocated memory on CUDA.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import normalize

from genestill.student.encoders import EncoderModel
from genestill.student.encoders.gated_delta_rule import (
    bidirectional_gated_delta_rule,
    chunked_gated_delta_rule,
    recurrent_gated_delta_rule,
)
from genestill.student.encoders.sizing import size_for_budget

HEADS, WIDTH = 4, 32


def draw(length: int, device: str, directions: int = 1) -> list[torch.Tensor]:
    """Arguments of the rule, [1, length, HEADS, WIDTH] and [1, length, HEADS x directions], which require gradients."""
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(1, length, HEADS, WIDTH, generator=generator) for _ in range(3)]
    gates = [torch.rand(1, length, HEADS * directions, generator=generator) for _ in range(2)]
    arguments = [normalize(states[0], dim=-1), normalize(states[1], dim=-1), states[2], -0.1 * gates[0], gates[1]]
    return [x.to(device).requires_grad_() for x in arguments]


def seconds(work, device: str, repeats: int = 3) -> float:
    """The best of several measurements, in seconds."""
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return best


def compare(length: int, device: str) -> dict[str, tuple[float, float]]:
    """Seconds (forward, forward and backward) of the plain recurrence and of the chunked form."""
    arguments = draw(length, device)
    rows = {}
    for name, rule in (("recurrence", recurrent_gated_delta_rule), ("chunks", chunked_gated_delta_rule)):

        def forward(rule=rule):
            with torch.inference_mode():
                rule(*arguments)

        def both(rule=rule):
            rule(*arguments).sum().backward()

        repeats = 1 if name == "recurrence" else 3
        rows[name] = (seconds(forward, device, repeats), seconds(both, device, repeats))
    return rows


def peak_of(length: int, device: str) -> float:
    """Increase of the peak by forward and backward of both directions, in MB; to be called in a new process."""
    bidirectional_gated_delta_rule(*draw(64, device, 2)).sum().backward()
    arguments = draw(length, device, 2)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        bidirectional_gated_delta_rule(*arguments).sum().backward()
        return (torch.cuda.max_memory_allocated() - start) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the peak, which is that of importing torch
    start = resident("VmRSS")
    bidirectional_gated_delta_rule(*arguments).sum().backward()
    return (resident("VmHWM") - start) / 1e3


def resident(entry: str) -> int:
    """Kilobytes of this process: VmRSS (present) or VmHWM (peak)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


def print_rule(device: str) -> None:
    """Print the chunked form compared with the recurrence."""
    print("length  pass              recurrence    chunks   times as fast")
    for length in (1024, 4096):
        rows = compare(length, device)
        for number, name in enumerate(("forward", "forward+backward")):
            slow, fast = rows["recurrence"][number], rows["chunks"][number]
            print(f"{length:6d}  {name:16s}  {slow:8.3f} s  {fast:7.4f} s   {slow / fast:.1f}", flush=True)


def print_growth(device: str, lengths=(4096, 16384, 65536)) -> None:
    """Print seconds of forward and backward of both directions by length."""
    print("length   forward+backward   µs per base")
    for length in lengths:
        arguments = draw(length, device, 2)

        def work(arguments=arguments):
            bidirectional_gated_delta_rule(*arguments).sum().backward()

        taken = seconds(work, device)
        print(f"{length:6d}  {taken:15.3f} s  {1e6 * taken / length:8.2f}", flush=True)


def print_memory(device: str, lengths=(4096, 8192, 16384, 32768, 65536)) -> None:
    """Print peak memory by length, each in a new process."""
    print("length   peak MB   kB per base")
    for length in lengths:
        command = [sys.executable, __file__, "peak", "--length", str(length), "--device", device]
        peak = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{length:6d}  {peak:8.1f}  {1e3 * peak / length:8.2f}", flush=True)


def print_encoders(device: str) -> None:
    """Print tokens per second of whole encoders without gradients, with batches of about 4,096 tokens."""
    print("backbone       parameters  length   tokens/s")
    tokens = 262_144 if device.startswith("cuda") else 4_096
    for backbone in ("delta_hybrid", "transformer"):
        for parameters in (1_100_000, 500_000):
            model = EncoderModel(size_for_budget(backbone, parameters)).eval().to(device)
            for length in (512, 1024, 4096, 16384, 65536):
                ids = torch.randint(0, 4, (max(1, tokens // length), length), device=device)

                def work(model=model, ids=ids):
                    with torch.inference_mode():
                        model.embed(ids)

                work()
                rate = ids.numel() / seconds(work, device, 2)
                print(f"{backbone:13s}  {parameters:10,d}  {length:6d}  {rate:9,.0f}", flush=True)


TABLES = {"rule": print_rule, "growth": print_growth, "memory": print_memory, "encoders": print_encoders}


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("all", *TABLES, "peak"), default="all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--length", type=int, default=4096, help="for peak")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.what == "peak":
        print(peak_of(options.length, options.device))
        return
    print(f"{options.device}, {options.threads} threads of {os.cpu_count()}, torch {torch.__version__}")
    for what, table in TABLES.items():
        if options.what in ("all", what):
            table(options.device)


if __name__ == "__main__":
    main()
