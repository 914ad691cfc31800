"""What the scripts that make golden values share: PyTorch 1.13 with one thread and in float64, values with 9 digits, files beside this one."""
import json
import os

import torch

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def numbers(tensor):
    return [float("%.9g" % value) for value in tensor.detach().reshape(-1).tolist()]


def named(tensors):
    return {name: {"shape": list(t.shape), "values": numbers(t)} for name, t in tensors.items()}


def write(name, value):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, "w", newline="\n") as file:
        json.dump(value, file, separators=(",", ":"))
        file.write("\n")
    print(f"{name}: {os.path.getsize(path)} bytes")
