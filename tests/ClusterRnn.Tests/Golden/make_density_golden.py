#!/usr/bin/python3
"""Writes the golden values of the losses of distributions over values that ClusterRnn.Tests/Golden compares ours with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_density_golden.py

Made as make_golden.py makes its own (PyTorch 1.13, one thread, float64, 9 digits): nn.GaussianNLLLoss(full=True) of a mean and
a variance, and a mixture of Gaussians written out with logsumexp, each after a tanh layer and a linear one.
"""
import math

import torch
from torch import nn

from golden import named, numbers, write


def gaussian(out, target, components):
    mean, log = out.chunk(2, -1)
    return nn.GaussianNLLLoss(full=True)(mean, target, (2 * log).exp())


def mixture(out, target, components):
    values = target.shape[-1]
    weights, means, logs = out.split([components, components * values, components * values], -1)
    means, logs = means.reshape(-1, components, values), logs.reshape(-1, components, values)
    z = (target[:, None] - means) / logs.exp()
    densities = (-logs - 0.5 * math.log(2 * math.pi) - 0.5 * z ** 2).sum(-1)
    return -torch.logsumexp(torch.log_softmax(weights, -1) + densities, -1).sum() / target.numel()


def case(seed, loss, name, values, components=5, time=5, lengths=None, width=3, scale=1.0):
    torch.manual_seed(seed)
    lengths = lengths or [time] * 3
    rows, outputs = len(lengths), (2 * values if loss is gaussian else components * (1 + 2 * values))
    hidden, last = nn.Linear(width, 6), nn.Linear(6, outputs)
    parameters = {"dense.weight": hidden.weight, "dense.bias": hidden.bias, "dense_1.weight": last.weight, "dense_1.bias": last.bias}
    with torch.no_grad():
        last.weight *= scale
        last.bias *= scale
    x, target = torch.randn(time, rows, width), 2 * torch.randn(time, rows, values)
    out = last(torch.tanh(hidden(x)))
    valid = torch.tensor([[t < n for n in lengths] for t in range(time)])
    total = loss(out[valid], target[valid], components)
    gradients = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values()))))
    return {
        "model": {"layers": [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense"}], "loss": name, "components": components},
        "time": time, "rows": rows, "targetTime": time, "outputWidth": values, "lengths": lengths,
        "features": numbers(x), "featureWidth": width, "targetValues": numbers(target), "targetWidth": values,
        "stateIn": [], "stateOut": [],
        "parameters": named(parameters),
        "outputs": numbers(out), "loss": float("%.12g" % total.item()),
        "gradients": named(gradients),
    }


cases = {
    "gaussian": case(950, gaussian, "gaussian", 1),
    "gaussian-ragged": case(951, gaussian, "gaussian", 3, lengths=[5, 1, 4]),
    "mixture": case(952, mixture, "gaussian-mixture", 1),
    "mixture-ragged": case(953, mixture, "gaussian-mixture", 2, components=3, lengths=[2, 5, 3]),
    "mixture-far": case(954, mixture, "gaussian-mixture", 1, components=2, scale=6.0),
}
write("density.json", cases)
