#!/usr/bin/python3
"""Makes optimizer_golden.json: parameters after ten updates of each optimizer.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_optimizer_golden.py

SGD, RMSprop, Adam and AdamW are torch.optim's (PyTorch 1.13, Debian's python3-torch), clipping is torch.nn.utils'. LARS
(You et al., 2017) and LAMB (You et al., 2020), which PyTorch lacks, are written out below in double precision. Initial
parameters and gradients are sums of eighths that both sides form exactly, so that the file holds results only.
"""
import json
import math
import os

import torch

TENSORS = [("dense.weight", [5, 4]), ("dense.bias", [5]), ("dense_1.weight", [2, 5]), ("dense_1.bias", [2])]
UPDATES = 10
COUNT = 8  # gradients arrive as sums over so many targets


def initial(tensor, element):
    return (((element * 5 + tensor * 3) % 17) - 8) / 8


def gradient(update, tensor, element):
    return (((element * 7 + update * 13 + tensor * 5) % 23) - 11) / 16


def rate(case, update):
    """The learning rate of an update: it falls, as under a schedule."""
    return case["optimizer"]["learningRate"] * (1.0 if update < 5 else 0.5)


def sizes():
    return [math.prod(shape) for _, shape in TENSORS]


def clip(case, gradients):
    """The averaged gradient after clipping by norm, then by value, as double lists."""
    parameters = [torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in sizes()]
    for parameter, values in zip(parameters, gradients):
        parameter.grad = torch.tensor(values, dtype=torch.float64)
    if case.get("clipNorm"):
        torch.nn.utils.clip_grad_norm_(parameters, case["clipNorm"])
    if case.get("clipValue"):
        torch.nn.utils.clip_grad_value_(parameters, case["clipValue"])
    return [parameter.grad for parameter in parameters]


def with_torch(case):
    config = case["optimizer"]
    name = config["name"]
    parameters = [
        torch.tensor([initial(t, i) for i in range(n)], dtype=torch.float32, requires_grad=True)
        for t, n in enumerate(sizes())
    ]
    common = {"lr": config["learningRate"], "weight_decay": config.get("weightDecay", 0.01 if name == "adamw" else 0.0)}
    if name == "sgd":
        optimizer = torch.optim.SGD(
            parameters, momentum=config.get("momentum", 0),
            nesterov=config.get("nesterov", False), **common)
    elif name == "rmsprop":
        optimizer = torch.optim.RMSprop(
            parameters, alpha=config.get("alpha", 0.99), eps=config.get("epsilon", 1e-8), momentum=config.get("momentum", 0), **common)
    else:
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        optimizer = kind(
            parameters, betas=(config.get("beta1", 0.9), config.get("beta2", 0.999)), eps=config.get("epsilon", 1e-8), **common)
    for update in range(UPDATES):
        gradients = clip(case, [[gradient(update, t, i) for i in range(n)] for t, n in enumerate(sizes())])
        for group in optimizer.param_groups:
            group["lr"] = rate(case, update)
        for parameter, values in zip(parameters, gradients):
            penalty = case.get("l1", 0) * torch.sign(parameter.detach()) + case.get("l2", 0) * parameter.detach()
            parameter.grad = values.float() + penalty
        optimizer.step()
    return [parameter.tolist() for parameter in parameters]


def norm(values):
    return math.sqrt(sum(x * x for x in values))


def by_hand(case):
    config = case["optimizer"]
    weights = [[initial(t, i) for i in range(n)] for t, n in enumerate(sizes())]
    first = [[0.0] * n for n in sizes()]
    second = [[0.0] * n for n in sizes()]
    for update in range(UPDATES):
        gradients = clip(case, [[gradient(update, t, i) for i in range(n)] for t, n in enumerate(sizes())])
        lr = rate(case, update)
        for t, (w, g) in enumerate(zip(weights, gradients)):
            g = g.tolist()
            adapt = len(TENSORS[t][1]) > 1  # biases keep the global rate without decay
            g = [x + case.get("l2", 0) * y for x, y in zip(g, w)]
            if config["name"] == "lars":
                momentum, trust, eps = config.get("momentum", 0.9), config.get("trust", 1e-3), config.get("epsilon", 1e-8)
                decay = config.get("weightDecay", 0.0) if adapt else 0.0
                a, b = norm(w), norm(g)
                ratio = trust * a / (b + decay * a + eps) if adapt and a > 0 and b > 0 else 1.0
                for i in range(len(w)):
                    first[t][i] = momentum * first[t][i] + lr * ratio * (g[i] + decay * w[i])
                    w[i] -= first[t][i]
            else:
                beta1, beta2, eps = config.get("beta1", 0.9), config.get("beta2", 0.999), config.get("epsilon", 1e-6)
                decay = config.get("weightDecay", 0.01) if adapt else 0.0
                steps = []
                for i in range(len(w)):
                    first[t][i] = beta1 * first[t][i] + (1 - beta1) * g[i]
                    second[t][i] = beta2 * second[t][i] + (1 - beta2) * g[i] * g[i]
                    m = first[t][i] / (1 - beta1 ** (update + 1))
                    v = second[t][i] / (1 - beta2 ** (update + 1))
                    steps.append(m / (math.sqrt(v) + eps) + decay * w[i])
                a, b = norm(w), norm(steps)
                ratio = a / b if adapt and a > 0 and b > 0 else 1.0
                for i in range(len(w)):
                    w[i] -= lr * ratio * steps[i]
    return weights


CASES = [
    {"optimizer": {"name": "sgd", "learningRate": 0.1}},
    {"optimizer": {"name": "sgd", "learningRate": 0.1, "momentum": 0.9}},
    {"optimizer": {"name": "sgd", "learningRate": 0.1, "momentum": 0.9, "nesterov": True, "weightDecay": 0.02}},
    {"optimizer": {"name": "sgd", "learningRate": 0.1, "momentum": 0.5}, "clipNorm": 1.0},
    {"optimizer": {"name": "sgd", "learningRate": 0.1}, "clipValue": 0.25},
    {"optimizer": {"name": "sgd", "learningRate": 0.1}, "clipNorm": 1.0, "clipValue": 0.125},
    {"optimizer": {"name": "sgd", "learningRate": 0.1}, "l1": 0.01, "l2": 0.03},
    {"optimizer": {"name": "rmsprop", "learningRate": 0.01}},
    {"optimizer": {"name": "rmsprop", "learningRate": 0.01, "weightDecay": 0.03}, "clipNorm": 0.5},
    {"optimizer": {"name": "rmsprop", "learningRate": 0.01, "alpha": 0.9, "momentum": 0.8, "weightDecay": 0.01}},
    {"optimizer": {"name": "adam", "learningRate": 0.01}},
    {"optimizer": {"name": "adam", "learningRate": 0.01, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4, "weightDecay": 0.05}},
    {"optimizer": {"name": "adam", "learningRate": 0.01}, "clipNorm": 0.5, "l2": 0.02},
    {"optimizer": {"name": "adamw", "learningRate": 0.01}},
    {"optimizer": {"name": "adamw", "learningRate": 0.01, "weightDecay": 0.2}, "clipNorm": 0.5},
    {"optimizer": {"name": "lars", "learningRate": 0.25}},
    {"optimizer": {"name": "lars", "learningRate": 0.5, "trust": 0.02, "weightDecay": 0.1, "momentum": 0.5}, "clipNorm": 1.0},
    {"optimizer": {"name": "lamb", "learningRate": 0.01}},
    {"optimizer": {"name": "lamb", "learningRate": 0.02, "weightDecay": 0.1, "beta1": 0.8}, "clipNorm": 1.0},
]


def main():
    for case in CASES:
        run = by_hand if case["optimizer"]["name"] in ("lars", "lamb") else with_torch
        case["parameters"] = [[float(f"{x:.9g}") for x in tensor] for tensor in run(case)]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizer_golden.json")
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in CASES) + "\n]\n")
    print(f"{path}: {len(CASES)} cases, torch {torch.__version__}")


main()
