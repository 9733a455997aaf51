"""Where a model runs."""

from pathlib import Path

from genestill.core.errors import InputError


def count_gpus() -> int:
    """How many NVIDIA cards this machine has, without asking torch, which takes seconds to load."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def choose_device(wanted: str = "auto"):
    """Return the torch device for ``wanted``: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises `InputError` if CUDA is asked for by name and there is none. ``CUDA_VISIBLE_DEVICES`` is respected:
    a scheduler chooses the device, never this program.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {wanted!r} was asked for, but torch {torch.__version__} sees no CUDA device here")
    return torch.device(wanted)
