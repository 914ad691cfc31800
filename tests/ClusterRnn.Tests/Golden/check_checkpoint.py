#!/usr/bin/python3
"""Loads a checkpoint of ours into PyTorch's nn.LSTM and nn.Linear and compares the outputs.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/check_checkpoint.py MODEL.safetensors SAMPLE.safetensors

SAMPLE holds "input" [T, B, F] and "output" [T, B, O] as our program computed it. Prints the largest difference; exit
code 1 when it is over 1e-5. The format is parsed by hand, so that nothing but PyTorch is needed.
"""
import json
import struct
import sys

import torch


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            assert entry["dtype"] == "F32" and begin % 4 == 0, entry
            tensors[name] = torch.frombuffer(data[begin:end], dtype=torch.float32).reshape(entry["shape"])
    return tensors


def part(tensors, layer):
    return {name[len(layer) + 1:]: tensor for name, tensor in tensors.items() if name.startswith(layer + ".")}


def main():
    model, sample = read(sys.argv[1]), read(sys.argv[2])
    lstm_state, dense_state = part(model, "lstm"), part(model, "dense")
    layers = sum(name.startswith("weight_ih_l") for name in lstm_state)
    hidden = lstm_state["weight_hh_l0"].shape[1]
    lstm = torch.nn.LSTM(lstm_state["weight_ih_l0"].shape[1], hidden, num_layers=layers)
    lstm.load_state_dict(lstm_state, strict=True)
    dense = torch.nn.Linear(*reversed(dense_state["weight"].shape))
    dense.load_state_dict(dense_state, strict=True)
    with torch.no_grad():
        difference = (dense(lstm(sample["input"])[0]) - sample["output"]).abs().max().item()
    print(f"largest difference {difference:.3g}")
    sys.exit(0 if difference <= 1e-5 else 1)


if __name__ == "__main__":
    main()
