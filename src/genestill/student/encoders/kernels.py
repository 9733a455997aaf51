"""Kernels of flash-linear-attention (extra ``gpu``) instead of plain torch, if their results are correct.

A successful import is not sufficient: with some releases of Triton, the backward pass fails on some GPUs or gives wrong
gradients. Therefore a small forward and backward pass of each kernel is compared with plain torch, once.
"""

import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import torch

from genestill.core.logs import logger

DEVICES = ("cuda",)
TOLERANCE = 0.2  # share of the norm; the error is some hundredths in half precision, and about 1 for a wrong kernel


@dataclass(frozen=True)
class Kernel:
    """A kernel and the function that it replaces.

    Attributes:
        name: what it computes, for messages.
        load: imports the kernel, as a function with the same arguments as ``plain``.
        plain: the same computation in plain torch: from several tensors to one.
        trial: makes small arguments of both, on the CPU, from a dtype and sizes; the same in every call.
    """

    name: str
    load: Callable[[], Callable[..., torch.Tensor]]
    plain: Callable[..., torch.Tensor]
    trial: Callable[..., list[torch.Tensor]]

    def working(self, like: torch.Tensor, *sizes: int) -> Callable[..., torch.Tensor] | None:
        """The kernel for tensors with the device and dtype of ``like`` and these sizes; None if it does not work."""
        return _working(self, like.device, like.dtype, sizes) if like.device.type in DEVICES else None


@functools.cache
def _working(kernel: Kernel, device: torch.device, dtype: torch.dtype, sizes: tuple[int, ...]):
    try:
        loaded = kernel.load()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "fla":
            _tell_of_the_extra()
        else:
            _warn_of_fallback(_first_line(error))
        return None
    except Exception as error:  # Triton without a driver, incompatible releases
        _warn_of_fallback(_first_line(error))
        return None
    try:
        worst = _difference(kernel.plain, loaded, [x.to(device) for x in kernel.trial(dtype, *sizes)])
    except Exception as error:  # Triton, CUDA and the checks of the kernel raise many types of errors
        _warn_of_fallback(_first_line(error))
        return None
    if not worst < TOLERANCE:
        _warn_of_fallback(f"the values or gradients of the {kernel.name} are wrong")
        return None
    return loaded


def _difference(plain: Callable, loaded: Callable, arguments: list[torch.Tensor]) -> float:
    """Largest norm of the difference in output and gradients, divided by the norm."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(arguments[0].device.type, enabled=False),
    ):
        found = []
        for function in (plain, loaded):
            leaves = [x.detach().clone().requires_grad_() for x in arguments]
            output = function(*leaves)
            found.append([output.detach(), *torch.autograd.grad(output.float().square().sum(), leaves)])
        pairs = zip(*found, strict=True)
        differences = [(one.float() - other.float()).norm() / one.float().norm() for one, other in pairs]
        return float(torch.stack(differences).max())  # NaN if one of them is NaN


@functools.cache
def _tell_of_the_extra() -> None:
    logger.info("flash-linear-attention is not installed (extra gpu): the gated delta net runs in plain torch")


@functools.cache  # once per cause, which often affects all kernels
def _warn_of_fallback(why: str) -> None:
    versions = []
    for package in ("flash-linear-attention", "torch", "triton"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} unknown")
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    logger.warning(
        "a kernel of flash-linear-attention does not work here (%s; %s; %s): plain torch is used instead, which is "
        "slower but gives the same results",
        *(", ".join(versions), card, why),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
