#!/usr/bin/env python3
"""Prints the golden rows of OptimizerTests.cs: parameters after five steps of torch.optim (made with torch 1.13, CPU).

    python3 optimizers.py
"""
import torch

START = [0.5, -1.25, 2.0, 0.001, -0.75, 3.5, -0.02]
CASES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.95, eps=1e-6, momentum=0.5, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.9, 0.99), eps=1e-7, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.9, 0.99), eps=1e-7, weight_decay=0.1),
}

for name, make in CASES.items():
    parameter = torch.nn.Parameter(torch.tensor(START))
    optimizer = make([parameter])
    for step in range(1, 6):
        parameter.grad = torch.tensor([((7 * i + 3 * step) % 11 - 5) / 8 for i in range(len(START))])
        optimizer.step()
    print(f'    [InlineData("{name}", new[] {{ {", ".join(f"{x:.9g}f" for x in parameter.tolist())} }})]')
