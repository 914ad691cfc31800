#!/usr/bin/python3
"""Writes the golden values of convolutions and pooling that ClusterRnn.Tests/Golden compares our layers with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_convolution_golden.py

Made as make_golden.py makes its own (PyTorch 1.13, one thread, float64, 9 digits): a model in our configuration's words,
its parameters under the names our layout gives them, a batch, and what PyTorch makes of it. Each row goes through PyTorch
by itself, with its own length: nothing is padded but by the layers.
"""
import torch
from torch import nn
from torch.nn import functional as F

from golden import named, numbers, write


class Convolution1d(nn.Conv1d):
    """[time, channels] -> [time, channels]."""

    def __init__(self, channels, units, kernel, stride=1, padding="same", function=None):
        super().__init__(channels, units, kernel, stride, padding="same" if padding == "same" and stride == 1 else (kernel - 1) // 2 if padding == "same" else 0)
        self.left, self.function = kernel - 1 if padding == "causal" else 0, function
        self.config = {"type": "convolution1d", "units": units, "kernel": kernel, "stride": stride, "padding": padding}
        if function:
            self.config["activation"] = function.__name__

    def call(self, x):
        y = super().forward(F.pad(x.T[None], (self.left, 0)))[0].T
        return self.function(y) if self.function else y


class Convolution2d(nn.Conv2d):
    """[time, channels x features] -> [time, channels x features]."""

    def __init__(self, channels, units, kernel, feature_kernel, stride=1, feature_stride=1, padding="same", function=None):
        sides = ((kernel - 1) // 2, (feature_kernel - 1) // 2) if padding == "same" else 0
        super().__init__(channels, units, (kernel, feature_kernel), (stride, feature_stride), sides)
        self.function = function
        self.config = {
            "type": "convolution2d", "units": units, "kernel": kernel, "featureKernel": feature_kernel,
            "stride": stride, "featureStride": feature_stride, "padding": padding,
        }
        if function:
            self.config["activation"] = function.__name__

    def call(self, x):
        y = super().forward(x.reshape(len(x), self.in_channels, -1).transpose(0, 1)[None])[0]
        y = self.function(y) if self.function else y
        return y.transpose(0, 1).flatten(1)


class MaxPooling(nn.Module):
    def __init__(self, channels, size, feature_size=1, stride=None):
        super().__init__()
        self.channels = channels
        self.pool = nn.MaxPool2d((size, feature_size), (stride or size, feature_size))
        self.config = {"type": "max-pooling", "size": size, "featureSize": feature_size}
        if stride:
            self.config["stride"] = stride

    def call(self, x):
        return self.pool(x.reshape(len(x), self.channels, -1).transpose(0, 1)[None])[0].transpose(0, 1).flatten(1)


class GlobalPooling(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.config = kind, {"type": "global-pooling", "kind": kind}

    def call(self, x):
        return {"mean": lambda: x.mean(0), "max": lambda: x.max(0).values, "last": lambda: x[-1]}[self.kind]()[None]


class Flatten(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps, self.config = steps, {"type": "flatten", "steps": steps}

    def call(self, x):
        return F.pad(x, (0, 0, max(0, self.steps - len(x)), 0))[-self.steps:].flatten()[None]


class Dense(nn.Linear):
    def __init__(self, inputs, units, is_last=False, function=None):
        super().__init__(inputs, units)
        self.function = function
        self.config = {"type": "dense"} if is_last else {"type": "dense", "units": units}
        if function:
            self.config["activation"] = function.__name__

    def call(self, x):
        y = super().forward(x)
        return self.function(y) if self.function else y


class Lstm(nn.LSTM):
    """The last time step."""

    def __init__(self, inputs, units):
        super().__init__(inputs, units)
        self.config = {"type": "lstm", "units": units, "returnSequences": False}

    def call(self, x):
        _, self.last = super().forward(x[:, None])
        return self.last[0][0]


def case(seed, layers, time=7, lengths=None, width=3, outputs=2, every_step=False):
    torch.manual_seed(seed)
    lengths = lengths or [time] * 3
    rows, target_time = len(lengths), time if every_step else 1
    layers = layers()
    seen, parameters = {}, {}
    for layer in layers:
        kind = layer.config["type"].replace("-", "_")
        name = kind if kind not in seen else f"{kind}_{seen[kind]}"
        seen[kind] = seen.get(kind, 0) + 1
        parameters.update({f"{name}.{n}": p for n, p in layer.named_parameters()})
    x = torch.randn(time, rows, width)
    target = torch.randn(target_time, rows, outputs)
    result, errors, states = torch.zeros(target_time, rows, outputs), [], []
    for row, length in enumerate(lengths):
        out = x[:length, row]
        for layer in layers:
            out = layer.call(out)
        result[: len(out), row] = out.detach()
        errors.append((out - target[: len(out), row]).flatten())
        states += [state.flatten() for layer in layers if isinstance(layer, Lstm) for state in layer.last]
    loss = (torch.cat(errors) ** 2).mean()
    gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()))))
    state = numbers(torch.cat(states)) if states else []
    return {
        "model": {"layers": [layer.config for layer in layers], "loss": "mean-squared-error"},
        "time": time, "rows": rows, "targetTime": target_time, "outputWidth": outputs, "lengths": lengths,
        "features": numbers(x), "featureWidth": width, "targetValues": numbers(target), "targetWidth": outputs,
        "stateIn": [0.0] * len(state), "stateOut": state,
        "parameters": named(parameters),
        "outputs": numbers(result), "loss": float("%.12g" % loss.item()),
        "gradients": named(gradients),
    }


RAGGED = [7, 3, 5, 4]
cases = {
    "convolution1d-same": case(900, lambda: [Convolution1d(3, 5, 3, function=torch.tanh), Convolution1d(5, 4, 4), Dense(4, 2, True)], every_step=True),
    "convolution1d-same-ragged": case(901, lambda: [Convolution1d(3, 17, 5, function=torch.relu), Dense(17, 2, True)], lengths=[7, 1, 5, 2], every_step=True),
    "convolution1d-causal-ragged": case(902, lambda: [Convolution1d(3, 5, 3, padding="causal", function=torch.sigmoid), Convolution1d(5, 2, 2, padding="causal"), Dense(2, 2, True)], lengths=[7, 1, 5, 2], every_step=True),
    "convolution1d-valid-stride-ragged": case(903, lambda: [Convolution1d(3, 5, 3, 2, "valid"), GlobalPooling("mean"), Dense(5, 2, True)], lengths=RAGGED),
    "convolution1d-same-stride-ragged": case(904, lambda: [Convolution1d(3, 6, 5, 3, "same", torch.tanh), Lstm(6, 4), Dense(4, 2, True)], lengths=[7, 1, 4, 6]),
    "max-pooling-ragged": case(905, lambda: [Dense(3, 6), MaxPooling(1, 3, stride=2), GlobalPooling("max"), Dense(6, 2, True)], lengths=RAGGED),
    "mlp-ragged": case(909, lambda: [Flatten(5), Dense(15, 9, function=torch.relu), Dense(9, 6, function=torch.tanh), Dense(6, 2, True)], lengths=RAGGED),
    "convolution2d-same": case(906, lambda: [Convolution2d(1, 4, 3, 3, function=torch.relu), MaxPooling(4, 2, 2), Convolution2d(4, 17, 3, 3), GlobalPooling("last"), Dense(17 * 3, 2, True)], time=6, width=6),
    "convolution2d-valid-lstm-ragged": case(907, lambda: [Convolution2d(1, 3, 2, 3, 1, 2, "valid", torch.tanh), Convolution2d(3, 2, 2, 1, 1, 1, "valid"), Lstm(6, 4), Dense(4, 2, True)], width=7, lengths=RAGGED),
    "convolution2d-stride-ragged": case(908, lambda: [Convolution2d(1, 3, 3, 5, 2, 3, "same", torch.sigmoid), MaxPooling(3, 1, 2), GlobalPooling("mean"), Dense(3, 2, True)], width=7, lengths=[7, 1, 5, 2]),
}
write("convolution.json", cases)
