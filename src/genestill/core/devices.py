"""Devices: choosing one, copies to and from it, and batches that do not fit into its memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

from genestill.core.errors import InputError
from genestill.core.logs import logger


def count_gpus() -> int:
    """The number of NVIDIA GPUs of this machine, without importing torch, which takes seconds."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def choose_device(wanted: str = "auto"):
    """Return the torch device for ``wanted``: ``auto`` (CUDA if available), ``cpu``, ``cuda`` or ``cuda:N``.

    ``CUDA_VISIBLE_DEVICES`` is respected, so that a scheduler can choose the device. Raises `InputError` if CUDA is
    requested explicitly and not available.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {wanted!r} is not available: torch {torch.__version__} finds no CUDA device")
    try:
        return torch.device(wanted)
    except RuntimeError:
        raise InputError(f"device {wanted!r}; expected auto, cpu, cuda or cuda:N") from None


def name_of(device) -> str:
    """The name of a GPU, or the type of another device."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def compile_on_gpu(module, device, wanted: bool) -> None:
    """Compile the forward and backward pass of ``module`` in place with `torch.compile`, if ``wanted``.

    Compilation takes minutes, so it is useful for trainings of several thousand steps. Only on a GPU; on other devices
    nothing is done.
    """
    if wanted and device.type == "cuda":
        module.compile()


def to_device(array, device):
    """Convert a NumPy array to a tensor on ``device``, without waiting for the copy to a GPU."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def copy_back(tensor) -> Callable:
    """Start copying ``tensor`` to the host, and return a function that waits for the copy and returns a NumPy array.

    Meanwhile, a GPU can compute the next batch.
    """
    import torch

    if tensor.device.type != "cuda":
        array = tensor.cpu().numpy()
        return lambda: array
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def wait():
        done.synchronize()
        return host.numpy()

    return wait


class Halving:
    """Inference in batches that are halved, with all later ones, if they do not fit into the memory of a GPU.

    Args:
        name: what is computed, for messages.
        device: the torch device.
    """

    def __init__(self, name: str, device):
        self.name, self.device, self._parts = name, device, 1

    def results(self, rows: int, compute: Callable[[slice], object]) -> Iterator[tuple[slice, object]]:
        """Yield pairs (rows, result of ``compute`` for these rows) for a batch of ``rows`` rows, in order.

        There is one pair if all rows fit into memory. Raises `InputError` if not even one row fits.
        """
        import torch

        size = -(-rows // self._parts)
        waiting = [slice(first, min(first + size, rows)) for first in range(0, rows, size)]
        while waiting:
            part = waiting.pop(0)
            try:
                found = compute(part)
            except torch.OutOfMemoryError:
                found = None
            if found is not None:
                yield part, found
                continue
            count = part.stop - part.start
            if count == 1:
                raise InputError(
                    f"{self.name}: one input does not fit into the memory of {name_of(self.device)}; use shorter "
                    "windows, a smaller model or half precision"
                )
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._parts *= 2
            logger.warning(
                "%s: a batch does not fit into the memory of %s (%d inputs); this and all later batches are halved",
                self.name, name_of(self.device), count,
            )  # fmt: skip
            middle = part.start + count // 2
            waiting = [slice(part.start, middle), slice(middle, part.stop), *waiting]
