#!/usr/bin/python3
"""Writes the golden values of normalisation and attention that ClusterRnn.Tests/Golden compares our layers with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_attention_golden.py

Made as make_golden.py makes its own (PyTorch 1.13, one thread, float64, 9 digits): a model in our configuration's words,
its parameters under the names our layout gives them, a batch, and what PyTorch makes of it.
"""
import torch
from torch import nn
from torch.nn import functional as F

from golden import named, numbers, write


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


class Places(nn.Module):
    """Learned vectors for places."""

    def __init__(self, places, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(places, width))

    def forward(self, x):
        return x + self.weight[: x.shape[0], None]


class Waves(nn.Module):
    """Sines and cosines for places."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        place = torch.arange(x.shape[0], dtype=torch.float64)[:, None]
        angle = place / 10000 ** (2 * (torch.arange(self.width) // 2) / self.width)[None]
        return x + torch.where(torch.arange(self.width) % 2 == 0, angle.sin(), angle.cos())[:, None]


def masks(x, lengths, causal):
    """What a time step must not see: later ones, and what comes after a row's end."""
    time = x.shape[0]
    mask = torch.triu(torch.ones(time, time, dtype=torch.bool), 1) if causal else None
    return mask, torch.tensor([[t >= n for t in range(time)] for n in lengths])


def attend(causal):
    def call(module, x, lengths):
        mask, padding = masks(x, lengths, causal)
        return module(x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False)[0]

    return call


def encode(causal):
    def call(module, x, lengths):
        mask, padding = masks(x, lengths, causal)
        return module(x, src_mask=mask, src_key_padding_mask=padding)

    return call


def attention(width, heads, causal):
    return [
        ("attention", {"type": "attention", "heads": heads, "causal": causal}, lambda: nn.MultiheadAttention(width, heads), attend(causal)),
        ("dense", {"type": "dense"}, lambda: nn.Linear(width, 3), plain),
    ]


class Stack(nn.Module):
    """nn.TransformerEncoderLayer some times, and a last nn.LayerNorm; without PyTorch's shortcut for inference."""

    def __init__(self, layers, width, heads, units, before, activation):
        super().__init__()
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(width, heads, units, dropout=0.0, activation=activation, norm_first=before) for _ in range(layers))
        if before:
            self.norm = nn.LayerNorm(width)

    def forward(self, x, src_mask, src_key_padding_mask):
        for layer in self.layers:
            x = layer(x, src_mask, src_key_padding_mask)
        return self.norm(x) if hasattr(self, "norm") else x


def transformer(width, heads, units, before, activation, causal, layers=2, places="sinusoidal"):
    config = {"type": "transformer", "layers": layers, "heads": heads, "units": units, "norm": "pre" if before else "post", "activation": activation, "causal": causal}
    return [
        ("positions", {"type": "positions", "kind": places, "maximumLength": 7}, (lambda: Waves(width)) if places == "sinusoidal" else (lambda: Places(7, width)), plain),
        ("transformer", config, lambda: Stack(layers, width, heads, units, before, activation), encode(causal)),
        ("dense", {"type": "dense"}, lambda: nn.Linear(width, 3), plain),
    ]


RAGGED = [5, 2, 4, 1]
cases = {
    "attention-causal": case(810, attention(6, 2, True)),
    "attention-full": case(811, attention(6, 3, False)),
    "attention-causal-ragged": case(812, attention(6, 1, True), lengths=RAGGED),
    "attention-full-ragged": case(813, attention(6, 2, False), lengths=RAGGED),
    "transformer-pre-gelu": case(820, transformer(6, 2, 9, True, "gelu", True)),
    "transformer-pre-relu-ragged": case(821, transformer(6, 3, 9, True, "relu", True, places="learned"), lengths=RAGGED),
    "transformer-post-gelu-ragged": case(822, transformer(6, 2, 17, False, "gelu", False), lengths=RAGGED),
    "transformer-post-relu": case(833, transformer(6, 1, 5, False, "relu", True, places="learned")),
    "transformer-40-steps": case(824, transformer(4, 2, 5, True, "gelu", True, layers=1), time=40, rows=2, width=4),
    "layer-norm": case(800, layer_norm(6)),
    "layer-norm-ragged": case(801, layer_norm(6), lengths=[5, 1, 3, 0]),
}
write("attention.json", cases)
