#!/usr/bin/python3
"""Writes the golden values of recurrent cells with layer normalisation that ClusterRnn.Tests/Golden compares ours with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_layer_norm_golden.py

Made as make_golden.py makes its own (PyTorch 1.13, one thread, float64, 9 digits). PyTorch has no such layers: the cells are
written out from Ba, Kiros and Hinton, Layer normalization (2016), equations 20 to 31, over F.layer_norm, and differentiated by
autograd. The two biases are the normalisations' own; the paper's third one, b, would add to them.
"""
import torch
from torch import nn
from torch.nn import functional as F

from golden import named, numbers, write

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def draw(*shape, middle=0.0, scale=0.4):
    return nn.Parameter(middle + scale * torch.randn(*shape))


def parameters_of(kind, inputs, hidden, suffix, learned):
    rows = GATES[kind] * hidden
    made = {
        "weight_ih": draw(rows, inputs), "weight_hh": draw(rows, hidden), "bias_ih": draw(rows), "bias_hh": draw(rows),
        "gain_ih": draw(rows, middle=1.0), "gain_hh": draw(rows, middle=1.0),
    }
    if kind == "lstm":
        made.update(gain_c=draw(hidden, middle=1.0), bias_c=draw(hidden))
    if learned:
        made["initial_h"] = draw(hidden)
        if kind == "lstm":
            made["initial_c"] = draw(hidden)
    return {f"{name}_{suffix}": p for name, p in made.items()}


def normal(x, gain, bias):
    return F.layer_norm(x, (x.shape[-1],), gain, bias, 1e-5)


def step(kind, function, p, x, h, c):
    """One time step of some rows; p the parameters without their suffix."""
    wx, rh, H = F.linear(x, p["weight_ih"]), F.linear(h, p["weight_hh"]), h.shape[1]
    if kind == "gru":  # reset and update gate together, the candidate by itself
        def part(y, side, first, end):
            return normal(y[:, first:end], p[f"gain_{side}"][first:end], p[f"bias_{side}"][first:end])

        r, z = torch.sigmoid(part(wx, "ih", 0, 2 * H) + part(rh, "hh", 0, 2 * H)).chunk(2, 1)
        n = torch.tanh(part(wx, "ih", 2 * H, 3 * H) + r * part(rh, "hh", 2 * H, 3 * H))
        return (1 - z) * n + z * h, c
    gates = normal(wx, p["gain_ih"], p["bias_ih"]) + normal(rh, p["gain_hh"], p["bias_hh"])
    if kind == "rnn":
        return function(gates), c
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(normal(c, p["gain_c"], p["bias_c"])), c


def direction(kind, function, p, x, lengths, h, c, reverse):
    """A direction over rows of lengths of their own; the outputs of finished rows are zero."""
    out = [None] * len(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        running = torch.tensor([t < n for n in lengths])[:, None]
        after_h, after_c = step(kind, function, p, x[t], h, c)
        h, c = torch.where(running, after_h, h), torch.where(running, after_c, c)
        out[t] = torch.where(running, after_h, torch.zeros_like(h))
    return torch.stack(out), h, c


def case(kind, seed, lengths=None, layers=1, bidirectional=False, learned=False, activation=None, time=5, rows=4, width=3, hidden=5, classes=7):
    torch.manual_seed(seed)
    lengths = lengths or [time] * rows
    function = {None: torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda v: v}[activation]
    embedding, tokens = draw(classes, width, scale=1.0), torch.randint(0, classes, (time, rows))
    parameters, y, state_in, state_out = {"embedding.weight": embedding}, F.embedding(tokens, embedding), [], []
    for level in range(layers):
        sides = []
        for reverse in (False, True) if bidirectional else (False,):
            suffix = f"l{level}_reverse" if reverse else f"l{level}"
            own = parameters_of(kind, y.shape[-1], hidden, suffix, learned)
            parameters.update({f"{kind}.{name}": p for name, p in own.items()})
            p = {name[: -len(suffix) - 1]: parameter for name, parameter in own.items()}
            scale = 0.0 if bidirectional else 0.5
            start = [p[f"initial_{s}"].expand(rows, hidden) if f"initial_{s}" in p else scale * torch.randn(rows, hidden) for s in "hc"]
            out, h, c = direction(kind, function, p, y, lengths, *start, reverse)
            sides.append(out)
            state_in += start if kind == "lstm" else start[:1]
            state_out += [h, c] if kind == "lstm" else [h]
        y = torch.cat(sides, -1)
    parameters["dense.weight"], parameters["dense.bias"] = draw(classes, y.shape[-1]), draw(classes)
    out = F.linear(y, parameters["dense.weight"], parameters["dense.bias"])
    valid, target = torch.tensor([[t < n for n in lengths] for t in range(time)]), torch.randint(0, classes, (time, rows))
    loss = F.cross_entropy(out[valid], target[valid])
    gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()))))
    config = {"type": kind, "units": hidden, "layers": layers, "layerNorm": True, "bidirectional": bidirectional, "learnedInitialState": learned}
    if activation:
        config["activation"] = activation
    none = torch.zeros(rows, 0)
    return {
        "model": {"layers": [{"type": "embedding", "units": width}, config, {"type": "dense"}], "loss": "cross-entropy"},
        "time": time, "rows": rows, "targetTime": time, "outputWidth": classes, "lengths": lengths,
        "tokens": tokens.reshape(-1).tolist(), "vocabulary": classes,
        "targetTokens": torch.where(valid, target, torch.full_like(target, -1)).reshape(-1).tolist(),
        "stateIn": numbers(none if bidirectional else torch.cat(state_in, 1)), "stateOut": numbers(none if bidirectional else torch.cat(state_out, 1)),
        "parameters": named(parameters), "outputs": numbers(out), "loss": float("%.12g" % loss.item()), "gradients": named(gradients), "reset": learned,
    }


RAGGED = [3, 5, 1, 4]
cases = {}
for number, kind in enumerate(GATES):
    cases[f"{kind}-layer-norm"] = case(kind, 900 + number)
    cases[f"{kind}-layer-norm-2-layers-ragged"] = case(kind, 910 + number, RAGGED, layers=2, learned=True, hidden=4)
    cases[f"{kind}-layer-norm-bidirectional-ragged"] = case(kind, 920 + number, RAGGED, bidirectional=True, hidden=4)
cases["lstm-layer-norm-wide"] = case("lstm", 930, RAGGED, hidden=19)
cases["gru-layer-norm-wide"] = case("gru", 931, hidden=17)
cases["rnn-layer-norm-sigmoid"] = case("rnn", 932, activation="sigmoid")
write("layer_norm.json", cases)
