#!/usr/bin/python3
"""Writes the golden values that ClusterRnn.Tests/Golden compares our layers with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_golden.py

Made with PyTorch 1.13 (Debian's python3-torch) on one thread, in float64 and rounded to 9 digits, so that the files do
not depend on the machine; the tests need the files alone. Each case is a model in our configuration's words, its
parameters under the names our layout gives them, a batch, and what PyTorch makes of it: outputs, final states, loss
(a mean) and every named gradient. What nn.* lacks (sigmoid and identity RNN, reset-before GRU, Elman's output, peepholes) is
written out below and differentiated by autograd. training.json holds the losses of 50 steps with Adam, clipping and
carried state.
"""
import torch
from torch import nn
from torch.nn import functional as F

from golden import named, numbers, write


class Cell(nn.Module):
    """A recurrent layer written out: rnn with any function, GRU with the reset gate before, Elman's output."""

    def __init__(self, kind, inputs, hidden, outputs=0):
        super().__init__()
        self.kind, self.hidden = kind, hidden
        bound = hidden ** -0.5
        if kind.startswith("elman"):
            self.i2h = nn.Linear(inputs + hidden, hidden)
            self.i2o = nn.Linear(inputs + hidden, outputs)
        else:
            rows = 3 * hidden if kind == "gru-before" else hidden
            self.weight_ih_l0 = nn.Parameter(torch.empty(rows, inputs).uniform_(-bound, bound))
            self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden).uniform_(-bound, bound))
            self.bias_ih_l0 = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))
            self.bias_hh_l0 = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))

    def forward(self, x, h0):
        h, out = h0[0], []
        for x_t in x:
            if self.kind.startswith("elman"):
                both = torch.cat([x_t, h], 1)
                out.append(self.i2o(both))
                h = self.i2h(both)
                h = torch.tanh(h) if self.kind == "elman-tanh" else h
                continue
            if self.kind == "gru-before":
                H = self.hidden
                gi = F.linear(x_t, self.weight_ih_l0, self.bias_ih_l0)
                gh = F.linear(h, self.weight_hh_l0[: 2 * H], self.bias_hh_l0[: 2 * H])
                r, z = torch.sigmoid(gi[:, :H] + gh[:, :H]), torch.sigmoid(gi[:, H : 2 * H] + gh[:, H:])
                n = torch.tanh(gi[:, 2 * H :] + F.linear(r * h, self.weight_hh_l0[2 * H :], self.bias_hh_l0[2 * H :]))
                h = (1 - z) * n + z * h
            else:
                a = F.linear(x_t, self.weight_ih_l0, self.bias_ih_l0) + F.linear(h, self.weight_hh_l0, self.bias_hh_l0)
                h = torch.sigmoid(a) if self.kind == "rnn-sigmoid" else a
            out.append(h)
        return torch.stack(out), h[None]


def recurrent(kind, inputs, hidden, layers):
    if kind == "lstm":
        return nn.LSTM(inputs, hidden, layers)
    if kind == "gru":
        return nn.GRU(inputs, hidden, layers)
    if kind in ("rnn-tanh", "rnn-relu"):
        return nn.RNN(inputs, hidden, layers, nonlinearity=kind[4:])
    return Cell(kind, inputs, hidden, 4)


CONFIGS = {
    "lstm": {"type": "lstm"},
    "gru": {"type": "gru"},
    "gru-before": {"type": "gru", "resetGate": "before"},
    "rnn-tanh": {"type": "rnn"},
    "rnn-relu": {"type": "rnn", "activation": "relu"},
    "rnn-sigmoid": {"type": "rnn", "activation": "sigmoid"},
    "rnn-identity": {"type": "rnn", "activation": "identity"},
    "elman-tanh": {"type": "elman", "outputs": 4},
    "elman-identity": {"type": "elman", "activation": "identity", "outputs": 4},
}


def recurrent_case(kind, seed, tokens=False, layers=1, last=False, ragged=False, time=5, rows=4, width=3, hidden=5, classes=4):
    torch.manual_seed(seed)
    modules, configs = {}, []
    if tokens:
        modules["embedding"] = nn.Embedding(7, width)
        configs.append({"type": "embedding", "units": width})
        x = torch.randint(0, 7, (time, rows))
        inputs = {"tokens": x.reshape(-1).tolist(), "vocabulary": 7}
    else:
        x = torch.randn(time, rows, width)
        inputs = {"features": numbers(x), "featureWidth": width}
    name = CONFIGS[kind]["type"]
    layer = modules[name] = recurrent(kind, width, hidden, layers)
    config = dict(CONFIGS[kind], units=hidden)
    if layers > 1:
        config["layers"] = layers
    if last:
        config["returnSequences"] = False
    configs.append(config)
    dense = modules["dense"] = nn.Linear(4 if name == "elman" else hidden, classes)
    configs.append({"type": "dense"})

    lengths = [5, 2, 4, 1] if ragged else [time] * rows
    h0 = torch.randn(layers, rows, hidden) * 0.5
    c0 = torch.randn(layers, rows, hidden) * 0.5
    state = (h0, c0) if kind == "lstm" else h0
    embedded = modules["embedding"](x) if tokens else x
    if ragged:
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, enforce_sorted=False)
        y, final = layer(packed, state)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, total_length=time)
    else:
        y, final = layer(embedded, state)
    if last:
        y = torch.stack([y[n - 1, r] for r, n in enumerate(lengths)])[None]
    out = dense(y)
    steps = out.shape[0]
    valid = torch.tensor([[last or t < n for n in lengths] for t in range(steps)])
    if tokens:
        target = torch.randint(0, classes, (steps, rows))
        loss = F.cross_entropy(out[valid], target[valid])
        targets = {"targetTokens": torch.where(valid, target, torch.full_like(target, -1)).reshape(-1).tolist()}
        loss_name = "cross-entropy"
    else:
        target = torch.randn(steps, rows, classes)
        loss = F.mse_loss(out[valid], target[valid])
        targets = {"targetValues": numbers(target), "targetWidth": classes}
        loss_name = "mean-squared-error"
    finals = final if kind == "lstm" else (final,)
    # Our state of a row: for each stacked layer h, then c.
    state_in = torch.cat([s[i] for i in range(layers) for s in ((h0, c0) if kind == "lstm" else (h0,))], 1)
    state_out = torch.cat([s[i] for i in range(layers) for s in finals], 1)
    return case(modules, configs, loss_name, loss, out, inputs, targets, lengths, time, rows, steps, classes, state_in, state_out)


class Peephole(nn.Module):
    """An LSTM whose gates see the cell state (Gers et al. 2002), written out; peepholes in the order i, f, o."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        bound = hidden ** -0.5
        for name, shape in (("weight_ih_l0", (4 * hidden, inputs)), ("weight_hh_l0", (4 * hidden, hidden)), ("bias_ih_l0", (4 * hidden,)),
                            ("bias_hh_l0", (4 * hidden,)), ("weight_peephole_l0", (3, hidden))):
            setattr(self, name, nn.Parameter(torch.empty(*shape).uniform_(-bound, bound)))

    def forward(self, x, state):
        (h, c), out = (state[0][0], state[1][0]), []
        for x_t in x:
            i, f, g, o = (F.linear(x_t, self.weight_ih_l0, self.bias_ih_l0) + F.linear(h, self.weight_hh_l0, self.bias_hh_l0)).chunk(4, 1)
            p = self.weight_peephole_l0
            i, f, g = torch.sigmoid(i + p[0] * c), torch.sigmoid(f + p[1] * c), torch.tanh(g)
            c = f * c + i * g
            o = torch.sigmoid(o + p[2] * c)
            h = o * torch.tanh(c)
            out.append(h)
        return torch.stack(out), (h[None], c[None])


def options_case(kind, seed, lengths=None, layers=1, last=False, bidirectional=False, residual=False, learned=False, tied=False, peepholes=False,
                 time=5, rows=4, width=4, hidden=4):
    """Bidirectional stacks, packed sequences, residual connections, learned initial states, tied weights, peepholes."""
    torch.manual_seed(seed)
    classes, directions, cells = 7, 2 if bidirectional else 1, 2 if kind == "lstm" else 1
    lengths = lengths or [time] * rows
    modules = {"embedding": nn.Embedding(classes, width)}
    x = torch.randint(0, classes, (time, rows))
    if peepholes:
        stack = [Peephole(width, hidden)]
    elif residual:  # one module a level, so that the input can be added between them
        stack = [{"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](width, hidden // directions, 1, bidirectional=bidirectional) for _ in range(layers)]
    else:
        stack = [{"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](width, hidden, layers, bidirectional=bidirectional)]
    units = hidden // directions if residual else hidden
    out_width = units * directions
    config = {"type": kind, "units": units}
    for name, value in (("layers", layers), ("bidirectional", bidirectional), ("residual", residual), ("learnedInitialState", learned), ("peepholes", peepholes)):
        if value and value != 1 or value is True:
            config[name] = value
    if last:
        config["returnSequences"] = False
    levels = layers * directions
    if learned:
        start = [nn.Parameter(torch.randn(levels, units) * 0.5) for _ in range(cells)]
    else:
        start = [torch.randn(levels, rows, units) * (0.0 if bidirectional else 0.5) for _ in range(cells)]
    h = [s[:, None].expand(levels, rows, units).contiguous() if learned else s for s in start]
    y, finals = modules["embedding"](x), []
    for number, layer in enumerate(stack):
        part = [s[number * directions : (number + 1) * directions].contiguous() for s in h] if residual else h
        state = tuple(part) if cells == 2 else part[0]
        if peepholes:
            z, final = layer(y, state)
        else:
            packed = nn.utils.rnn.pack_padded_sequence(y, lengths, enforce_sorted=False)
            z, final = layer(packed, state)
            z, _ = nn.utils.rnn.pad_packed_sequence(z, total_length=time)
        y = y + z if residual else z
        finals.append(final if cells == 2 else (final,))
    if last:  # each direction's own last step: a row's end, and its start
        y = torch.stack([torch.cat([y[n - 1, r, :units], y[0, r, units:]]) for r, n in enumerate(lengths)])[None]
    if tied:
        bias = nn.Parameter(torch.randn(classes) * 0.1)
        out = F.linear(y, modules["embedding"].weight, bias)
        configs = [{"type": "embedding", "units": width}, config, {"type": "dense", "tied": True}]
        extra = {"dense.bias": bias}
    else:
        modules["dense"] = nn.Linear(out_width, classes)
        out = modules["dense"](y)
        configs = [{"type": "embedding", "units": width}, config, {"type": "dense"}]
        extra = {}
    for number, layer in enumerate(stack):
        for name, parameter in layer.named_parameters():
            extra[f"{kind}.{name.replace('_l0', f'_l{number}') if residual else name}"] = parameter
    for letter, s in zip("hc", start if learned else ()):
        for level in range(layers):
            for direction in range(directions):
                extra[f"{kind}.initial_{letter}_l{level}{'_reverse' if direction else ''}"] = (s, level * directions + direction)
    steps = out.shape[0]
    valid = torch.tensor([[last or t < n for n in lengths] for t in range(steps)])
    target = torch.randint(0, classes, (steps, rows))
    loss = F.cross_entropy(out[valid], target[valid])
    targets = {"targetTokens": torch.where(valid, target, torch.full_like(target, -1)).reshape(-1).tolist()}
    if bidirectional:
        state_in = state_out = torch.zeros(rows, 0)
    else:
        end = [torch.cat([f[i] for f in finals]) for i in range(cells)]
        state_in = torch.cat([s[i] for i in range(layers) for s in h], 1)
        state_out = torch.cat([s[i] for i in range(layers) for s in end], 1)
    result = case(modules, configs, "cross-entropy", loss, out, {"tokens": x.reshape(-1).tolist(), "vocabulary": classes}, targets, lengths, time, rows, steps, classes,
                  state_in, state_out, extra)
    result["reset"] = learned
    return result


def ctc_case(seed, lengths, labels, time=9, width=3, hidden=5, classes=5):
    """nn.CTCLoss over rows of different lengths, with repeated labels and a row without any; the loss is a mean over labels."""
    torch.manual_seed(seed)
    rows = len(lengths)
    layer, dense = nn.LSTM(width, hidden, bidirectional=True), nn.Linear(2 * hidden, classes)
    x = torch.randn(time, rows, width) * 2
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    y, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], total_length=time)
    out = dense(y)
    flat, counts = torch.tensor([label for row in labels for label in row]), torch.tensor([len(row) for row in labels])
    loss = F.ctc_loss(F.log_softmax(out, -1), flat, torch.tensor(lengths), counts, blank=0, reduction="sum") / counts.sum()
    target = torch.full((time, rows), -1)
    for r, row in enumerate(labels):
        target[: len(row), r] = torch.tensor(row, dtype=torch.long)
    configs = [{"type": "lstm", "units": hidden, "bidirectional": True}, {"type": "dense"}]
    return case({"lstm": layer, "dense": dense}, configs, "ctc", loss, out, {"features": numbers(x), "featureWidth": width}, {"targetTokens": target.reshape(-1).tolist()},
                lengths, time, rows, time, classes, torch.zeros(rows, 0), torch.zeros(rows, 0))


def dense_case(activation, loss_name, seed, rows=6, width=4, hidden=5, outputs=3):
    torch.manual_seed(seed)
    functions = {"linear": lambda v: v, "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "softmax": lambda v: F.softmax(v, -1)}
    modules = {"dense": nn.Linear(width, hidden), "dense_1": nn.Linear(hidden, outputs)}
    final = {"cross-entropy": "softmax", "binary-cross-entropy": "sigmoid", "mean-squared-error": "linear"}[loss_name]
    configs = [{"type": "dense", "units": hidden, "activation": activation}, {"type": "dense", "activation": final}]
    x = torch.randn(1, rows, width)
    logits = modules["dense_1"](functions[activation](modules["dense"](x)))
    if loss_name == "cross-entropy":
        target = torch.randint(0, outputs, (1, rows))
        loss = F.cross_entropy(logits[0], target[0])
        targets = {"targetTokens": target.reshape(-1).tolist()}
    else:
        target = (torch.rand(1, rows, outputs) > 0.5).double() if loss_name.startswith("binary") else torch.randn(1, rows, outputs)
        loss = (F.binary_cross_entropy_with_logits if loss_name.startswith("binary") else F.mse_loss)(logits, target)
        targets = {"targetValues": numbers(target), "targetWidth": outputs}
    out = functions[final](logits)
    return case(modules, configs, loss_name, loss, out, {"features": numbers(x), "featureWidth": width}, targets, [1] * rows, 1, rows, 1, outputs,
                torch.zeros(rows, 0), torch.zeros(rows, 0))


def case(modules, configs, loss_name, loss, out, inputs, targets, lengths, time, rows, steps, classes, state_in, state_out, extra=None):
    parameters = {f"{m}.{n}": p for m, module in modules.items() for n, p in module.named_parameters()}
    parameters.update(extra or {})
    whole = {n: p[0] if isinstance(p, tuple) else p for n, p in parameters.items()}  # a part of a parameter is (parameter, index)
    gradients = dict(zip(whole, torch.autograd.grad(loss, list(whole.values()), allow_unused=True)))
    gradients = {n: g[p[1]] if isinstance(p, tuple) else g for (n, p), g in zip(parameters.items(), gradients.values())}
    parameters = {n: p[0][p[1]] if isinstance(p, tuple) else p for n, p in parameters.items()}
    return {
        "model": {"layers": configs, "loss": loss_name},
        "time": time, "rows": rows, "targetTime": steps, "outputWidth": classes, "lengths": lengths,
        **inputs, **targets,
        "stateIn": numbers(state_in), "stateOut": numbers(state_out),
        "parameters": named(parameters),
        "outputs": numbers(out), "loss": float("%.12g" % loss.item()),
        "gradients": named({n: torch.zeros_like(parameters[n]) if g is None else g for n, g in gradients.items()}),
    }


def training(kind, seed, steps=50, time=12, rows=6, vocabulary=11, width=8, hidden=16, rate=0.01, clip=0.1):
    torch.manual_seed(seed)
    embedding, layer, dense = nn.Embedding(vocabulary, width), recurrent(kind, width, hidden, 1), nn.Linear(hidden, vocabulary)
    modules = {"embedding": embedding, CONFIGS[kind]["type"]: layer, "dense": dense}
    parameters = {f"{m}.{n}": p for m, module in modules.items() for n, p in module.named_parameters()}
    start = named(parameters)
    stream = torch.randint(0, vocabulary, (steps * time + 1, rows))
    for t in range(2, len(stream)):  # something to learn: two steps of three continue a pattern
        rule = (stream[t - 1] * 3 + 1) % vocabulary
        stream[t] = torch.where(torch.rand(rows) < 0.67, rule, stream[t])
    optimizer = torch.optim.Adam(parameters.values(), lr=rate)
    state, losses, norms = None, [], []
    for step in range(steps):
        x, y = stream[step * time : (step + 1) * time], stream[step * time + 1 : (step + 1) * time + 1]
        out, state = layer(embedding(x), state)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        loss = F.cross_entropy(dense(out).reshape(-1, vocabulary), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        norms.append(float("%.9g" % nn.utils.clip_grad_norm_(list(parameters.values()), clip).item()))
        optimizer.step()
        losses.append(float("%.12g" % loss.item()))
    return {
        "model": {"layers": [{"type": "embedding", "units": width}, dict(CONFIGS[kind], units=hidden), {"type": "dense"}], "loss": "cross-entropy"},
        "steps": steps, "time": time, "rows": rows, "vocabulary": vocabulary, "learningRate": rate, "clipNorm": clip,
        "stream": stream.reshape(-1).tolist(), "parameters": start, "losses": losses, "gradientNorms": norms,
    }


cases = {}
for number, kind in enumerate(CONFIGS):
    cases[kind] = recurrent_case(kind, 100 + number)
for number, kind in enumerate(("lstm", "gru", "rnn-tanh", "rnn-relu")):
    cases[f"{kind}-2-layers"] = recurrent_case(kind, 200 + number, layers=2)
    cases[f"{kind}-tokens"] = recurrent_case(kind, 300 + number, tokens=True)
    cases[f"{kind}-ragged"] = recurrent_case(kind, 400 + number, tokens=True, ragged=True)
cases["lstm-2-layers-ragged-last"] = recurrent_case("lstm", 500, tokens=True, layers=2, ragged=True, last=True)
cases["gru-last"] = recurrent_case("gru", 501, last=True)
for number, activation in enumerate(("linear", "tanh", "relu", "sigmoid", "softmax")):
    for offset, loss_name in enumerate(("cross-entropy", "binary-cross-entropy", "mean-squared-error")):
        cases[f"dense-{activation}-{loss_name}"] = dense_case(activation, loss_name, 600 + 10 * number + offset)
RAGGED = [3, 5, 1, 4]
for number, kind in enumerate(("lstm", "gru", "rnn")):
    cases[f"{kind}-bidirectional"] = options_case(kind, 800 + number, bidirectional=True)
    cases[f"{kind}-bidirectional-2-layers-ragged"] = options_case(kind, 860 + number, RAGGED, layers=2, bidirectional=True, hidden=5)
    cases[f"{kind}-bidirectional-last-ragged"] = options_case(kind, 820 + number, RAGGED, layers=2, bidirectional=True, last=True)
    cases[f"{kind}-learned-ragged"] = options_case(kind, 830 + number, RAGGED, layers=2, learned=True)
    cases[f"{kind}-residual"] = options_case(kind, 840 + number, layers=3, residual=True)
cases["lstm-bidirectional-learned-ragged"] = options_case("lstm", 850, RAGGED, layers=2, bidirectional=True, learned=True)
cases["lstm-bidirectional-residual-ragged"] = options_case("lstm", 851, RAGGED, layers=2, bidirectional=True, residual=True)
cases["lstm-peepholes"] = options_case("lstm", 852, peepholes=True, hidden=5)
cases["lstm-tied"] = options_case("lstm", 853, RAGGED, tied=True)
cases["gru-tied"] = options_case("gru", 854, layers=2, tied=True)
cases["ctc-ragged"] = ctc_case(870, [9, 4, 7, 3, 5, 6], [[1, 2, 2, 4], [3], [4, 4, 1], [1, 1], [], [2, 3, 1, 4, 2, 1]])
write("layers.json", cases)
write("training.json", {kind: training(kind, 700 + number) for number, kind in enumerate(("rnn-tanh", "lstm", "gru"))})
