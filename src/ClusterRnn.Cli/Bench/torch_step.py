# The same training step in PyTorch, for `clusterrnn bench`: embedding -> RNN or Transformer -> dense -> softmax cross-entropy,
# backward, clipping by global norm, Adam; mean squared error of the last time step where there are no classes.
# Commands come one JSON object a line on the standard input; one JSON object a line answers each.
#     {"op": "case", "cell": "lstm", "batch": 64, "span": 64, "input": 128, "hidden": 256, "classes": 96, "layers": 1,
#      "bidirectional": false, "lengths": [64, ...]}    rows of different lengths are packed
#     {"op": "run", "steps": 10}  ->  {"seconds": 1.9, "processorSeconds": 1.9}
# Arguments: threads, rank, processes, rendezvous file. With two processes each has half of the rows and
# DistributedDataParallel over gloo averages the gradients.
import json
import sys
import time

import torch
from torch import nn

threads, rank, processes = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
if processes > 1:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method="file://" + sys.argv[4], rank=rank, world_size=processes)


class Model(nn.Module):
    def __init__(self, case):
        super().__init__()
        cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[case["cell"]]
        classes = case["classes"]
        self.embedding = nn.Embedding(classes, case["input"]) if classes else None
        self.rnn = cell(case["input"], case["hidden"], case["layers"], bidirectional=case["bidirectional"])
        self.dense = nn.Linear(case["hidden"] * (2 if case["bidirectional"] else 1), classes if classes else 1)

    def forward(self, x, state, sizes=None):  # x: [T, B] or [T, B, I]; with sizes the cells of packed rows
        if sizes is not None:
            y, _ = self.rnn(nn.utils.rnn.PackedSequence(self.embedding(x), sizes), None)
            return self.dense(y.data), None
        if self.embedding is not None:
            x = self.embedding(x)
        y, state = self.rnn(x, state)
        return self.dense(y if self.embedding is not None else y[-1]), state


class Transformer(nn.Module):
    """nn.TransformerEncoder with a causal mask, norm before, GELU, sinusoidal positions."""

    def __init__(self, case):
        super().__init__()
        width, span = case["input"], case["span"]
        self.embedding = nn.Embedding(case["classes"], width)
        place, element = torch.arange(span, dtype=torch.float32)[:, None], torch.arange(width)[None]
        angle = place / 10000 ** (2 * (element // 2) / width)
        self.register_buffer("places", torch.where(element % 2 == 0, angle.sin(), angle.cos())[:, None])
        self.register_buffer("mask", torch.triu(torch.full((span, span), float("-inf")), 1))
        heads = width // 64 if width % 64 == 0 else 1
        layer = nn.TransformerEncoderLayer(width, heads, case["hidden"], dropout=0.0, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, case["layers"], nn.LayerNorm(width))
        self.dense = nn.Linear(width, case["classes"])

    def forward(self, x, state):  # x: [T, B]
        return self.dense(self.encoder(self.embedding(x) + self.places, self.mask)), None


class Steps:
    def __init__(self, case):
        self.case = case
        rows, span, classes = case["batch"] // processes, case["span"], case["classes"]
        self.model = Transformer(case) if case["cell"] == "transformer" else Model(case)
        if processes > 1:
            self.model = nn.parallel.DistributedDataParallel(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.state = None
        lengths = sorted(case["lengths"][rank::processes], reverse=True)
        self.sizes = torch.tensor([sum(length > time for length in lengths) for time in range(span)]) if min(lengths) < span else None
        if self.sizes is not None:
            cells = int(self.sizes.sum())
            self.data = [(torch.randint(classes, (cells,)), torch.randint(classes, (cells,))) for _ in range(4)]
        elif classes:
            self.data = [(torch.randint(classes, (span, rows)), torch.randint(classes, (span, rows))) for _ in range(4)]
        else:
            self.data = [(torch.rand(span, rows, case["input"]), torch.rand(rows, 1)) for _ in range(4)]

    def step(self, number):
        x, target = self.data[number % len(self.data)]
        self.optimizer.zero_grad(set_to_none=True)
        y, state = self.model(x, self.state) if self.sizes is None else self.model(x, None, self.sizes)
        if self.case["classes"]:
            loss = nn.functional.cross_entropy(y.view(-1, y.shape[-1]), target.view(-1))
            # The state is carried, its gradient ends here.
            if state is not None and not self.case["bidirectional"]:
                self.state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        else:
            loss = nn.functional.mse_loss(y, target)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def answer(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def blas():
    """The library that does the products: Debian's plain libblas is ten times slower than OpenBLAS."""
    torch.mm(torch.zeros(2, 2), torch.zeros(2, 2))
    try:
        with open("/proc/self/maps") as maps:
            files = {line.split()[-1] for line in maps if "blas" in line or "mkl" in line}
    except OSError:
        return "unknown"
    names = sorted("/".join(file.split("/")[-2:]) for file in files)
    return ", ".join(names) or "built in"


answer({"torch": torch.__version__, "blas": blas()})
steps = None
for line in sys.stdin:
    command = json.loads(line)
    if command["op"] == "case":
        steps = None  # frees the case before
        steps = Steps(command)
        answer({"ready": True})
    else:
        processor, started = time.process_time(), time.perf_counter()
        for number in range(command["steps"]):
            loss = steps.step(number)
        answer({"seconds": time.perf_counter() - started, "processorSeconds": time.process_time() - processor, "loss": loss})
