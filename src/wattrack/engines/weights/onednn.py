"""fp32 matrix products on CPUs by oneDNN, where torch's own choice, MKL, is slow: on AMD's processors.

MKL takes a slower path there: on an AMD EPYC (Zen 5) the same fp32 products took 1.6 to 3 times as long as oneDNN's,
from 1 to 2,048 rows (narrow ones of under 32 rows and 128 columns, a few microseconds each, were slower). torch itself
gives oneDNN its bf16 products, and fp32 ones only when it compiles a model. Sums of 512 and 1,408 products are off by
4e-7 and 5e-7 of their size, MKL's by 2.5e-7 (root mean square, against fp64).
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from wattrack.environment import cpu_info


@cache
def helps() -> bool:
    """Whether fp32 products go to oneDNN here: by the processor's maker, so that it is the same every time."""
    return "AuthenticAMD" in (cpu_info() or platform.processor()) and available()


def available() -> bool:
    """Whether this torch has oneDNN, and lets its products be asked for."""
    built = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias` as nn.functional.linear gives it; x is (..., in), weight (out, in), all fp32 on a CPU."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def changes(model: Any) -> bool:
    """Whether this machine gains by `linears`, and the model has what it changes."""
    return helps() and any(_fits(module) for module in model.modules())


@contextmanager
def linears(model: Any) -> Iterator[None]:
    """Let the model's fp32 linear layers on a CPU compute by `product` meanwhile."""
    changed = [module for module in model.modules() if _fits(module)]
    for module in changed:
        module.forward = partial(_forward, module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _fits(module: nn.Module) -> bool:
    """A plain linear layer whose forward nobody else has changed."""
    if type(module) is not nn.Linear or "forward" in vars(module):
        return False
    return module.weight.dtype == torch.float32 and module.weight.device.type == "cpu"


def _forward(module: nn.Linear, x: Tensor) -> Tensor:
    return product(x, module.weight, module.bias)
