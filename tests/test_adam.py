import subprocess
import sys

import torch

from dissection.adam import Adam


def test_steps_are_those_of_torch() -> None:
    start = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    ours, theirs = ([t.clone().requires_grad_() for t in (start, start[0])] for _ in range(2))
    mine, other = Adam(ours, 0.1), torch.optim.Adam(theirs, 0.1)
    for step in range(20):
        mine.rate = other.param_groups[0]["lr"] = 0.1 / (step + 1)
        for variables in (ours, theirs):
            variables[0].grad = None
            variables[0].sub(step).sin().square().sum().backward()  # the other has no gradient
        mine.step()
        other.step()
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(ours[1], start[0])


def test_no_compiler_is_imported() -> None:
    code = """
import sys, torch
from dissection.adam import Adam
x = torch.zeros(3, requires_grad=True)
x.sum().backward()
Adam([x], 1.0).step()
assert x.max() < -0.99 and "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
