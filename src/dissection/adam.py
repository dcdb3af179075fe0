"""Adam (Kingma and Ba 2015), by torch's own kernels, for jobs of a few seconds.

    adam = Adam([x], rate=0.01)
    loss(x).backward()
    adam.step()

A `torch.optim.Optimizer` imports torch's compiler when it is made, which takes longer than importing torch.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """rate may be changed between steps. Gradients are left as they are: it is for the caller to clear them."""

    def __init__(self, variables: Iterable[Tensor], rate: float):
        self.rate = rate
        self._parts = [
            (v, torch.zeros_like(v), torch.zeros_like(v), torch.zeros((), device=v.device))
            for v in variables
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Of the variables that have a gradient."""
        parts = [part for part in self._parts if part[0].grad is not None]
        variables, means, squares, steps = (list(tensors) for tensors in zip(*parts, strict=True))
        gradients = [v.grad for v in variables if v.grad is not None]
        adam(variables, gradients, means, squares, [], steps, fused=True, amsgrad=False, lr=self.rate,
             beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8, maximize=False)  # fmt: skip
