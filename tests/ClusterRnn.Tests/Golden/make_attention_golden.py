#!/usr/bin/python3
"""Writes the golden values of normalisation and attention that ClusterRnn.Tests/Golden compares our layers with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_attention_golden.py

Made as make_golden.py makes its own (PyTorch 1.13, one thread, float64, 9 digits): a model in our configuration's words,
its parameters under the names our layout gives them, a batch, and what PyTorch makes of it.
"""
import json
import os

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))


def numbers(tensor):
    return [float("%.9g" % value) for value in tensor.detach().reshape(-1).tolist()]


def named(tensors):
    return {name: {"shape": list(t.shape), "values": numbers(t)} for name, t in tensors.items()}


def case(seed, layers, time=5, rows=4, width=6, outputs=3, lengths=None):
    """Features through layers [(name, configuration, module, call)], then the mean squared error over the rows' own time steps."""
    torch.manual_seed(seed)
    lengths = lengths or [time] * rows
    x = torch.randn(time, rows, width)
    made = [(name, config, make(), call) for name, config, make, call in layers]
    parameters = {f"{name}.{n}": p for name, _, module, _ in made for n, p in module.named_parameters()}
    for name, parameter in parameters.items():
        if parameter.dim() == 1:  # ones and zeros at first would hide what gains and biases do
            nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.3)
    out = x
    for _, _, module, call in made:
        out = call(module, out, lengths)
    target = torch.randn(time, rows, outputs)
    valid = torch.tensor([[t < n for n in lengths] for t in range(time)])
    loss = F.mse_loss(out[valid], target[valid])
    gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()))))
    return {
        "model": {"layers": [config for _, config, _, _ in made], "loss": "mean-squared-error"},
        "time": time, "rows": rows, "targetTime": time, "outputWidth": outputs, "lengths": lengths,
        "features": numbers(x), "featureWidth": width, "targetValues": numbers(target), "targetWidth": outputs,
        "stateIn": [], "stateOut": [],
        "parameters": named(parameters),
        "outputs": numbers(out), "loss": float("%.12g" % loss.item()),
        "gradients": named(gradients),
    }


def plain(module, x, lengths):
    return module(x)


def layer_norm(width):
    return [
        ("layer_norm", {"type": "layer-norm"}, lambda: nn.LayerNorm(width), plain),
        ("dense", {"type": "dense", "units": 17}, lambda: nn.Linear(width, 17), plain),
        ("layer_norm_1", {"type": "layer-norm", "epsilon": 0.01}, lambda: nn.LayerNorm(17, eps=0.01), plain),
        ("dense_1", {"type": "dense"}, lambda: nn.Linear(17, 3), plain),
    ]


cases = {
    "layer-norm": case(800, layer_norm(6)),
    "layer-norm-ragged": case(801, layer_norm(6), lengths=[5, 1, 3, 0]),
}
path = os.path.join(HERE, "attention.json")
with open(path, "w", newline="\n") as file:
    json.dump(cases, file, separators=(",", ":"))
    file.write("\n")
print(f"attention.json: {os.path.getsize(path)} bytes")
