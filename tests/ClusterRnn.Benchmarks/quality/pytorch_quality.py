#!/usr/bin/env python3
"""Trains in PyTorch what one of our runs trained, or evaluates that run's model: one half of run.py.

    python3 pytorch_quality.py RUN --json FILE --seed 1      trains from PyTorch's initial values
    python3 pytorch_quality.py RUN --json FILE --start OTHER trains from the values in OTHER's last checkpoint
    python3 pytorch_quality.py RUN --json FILE --evaluate    evaluates the run's last checkpoint

RUN is a run folder of ours. Its config.yaml says everything: data, layers, batch, span, learning rate, clipping, steps. The data
is read anew here (readers below, one function for each application) and must give the vocabulary, the labels and the scaler that
our run saved, or it is an error. The layers are PyTorch's own with PyTorch's own initial values; under our tensors' names, so that
a checkpoint fits or is refused. What is drawn (initial values, order of examples, dropout) comes from PyTorch's generator: the two
sides share what is learned from, not the numbers drawn.

From top to bottom: the readers, the layers, batches, the measures (nats, accuracy, RMSE, BLEU of a beam search), training.
"""
import argparse
import collections
import glob
import json
import math
import os
import pathlib
import re
import struct
import sys
import time
import unicodedata

import numpy
import torch
import yaml
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "ClusterRnn.Tests" / "Golden"))
from check_checkpoint import read  # a safetensors file

torch.set_num_threads(1)
BOS, EOS, UNK = 1, 2, 3  # of pairs of texts; 0 is padding


def expect(condition, message):
    if not condition:
        sys.exit(f"pytorch_quality: {message}")


def agree(what, ours, here):
    first = next((pair for pair in zip(ours, here) if pair[0] != pair[1]), None)
    expect(ours == here, f"{what} differ: {len(ours)} in our run, {len(here)} here; the first that are not the same: {first}")


# Readers: each returns what train_set and test_set hold, from the data section of a config and the artefact our run saved.

def read_text(data, artefact):
    """Characters: ids of the training part and of the validation part, the last share of the text."""
    expect(data["level"] == "character", "expected a text read as characters")
    text = pathlib.Path(data["path"]).read_bytes().decode("utf-8")
    entries = sorted(set(text), key=ord)
    agree("characters", artefact["vocabulary"]["entries"], entries)
    ids = {entry: i for i, entry in enumerate(entries)}
    tokens = torch.tensor([ids[character] for character in text])
    kept = len(tokens) - int(len(tokens) * data["validation"])
    return tokens[:kept], tokens[kept:], len(entries), len(entries)


def is_word_part(character):
    return unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lm", "Mn", "Mc", "Me", "Nd")


def words(text):
    """Words with the space before them, marks by themselves; an apostrophe within a word belongs to it."""
    at = 0
    while at < len(text):
        end = at + (2 if text[at] == " " and at + 1 < len(text) and not text[at + 1].isspace() else 1)
        if is_word_part(text[end - 1]):
            while end < len(text):
                if text[end] in "'\u2019" and end + 1 < len(text) and is_word_part(text[end + 1]):
                    end += 2
                elif is_word_part(text[end]):
                    end += 1
                else:
                    break
        yield text[at:end]
        at = end


def by_frequency(pieces, minimum):
    counts = collections.Counter(pieces)
    return sorted((piece for piece, count in counts.items() if count >= minimum), key=lambda piece: (-counts[piece], piece.encode()))


def read_sentiment(data, artefact):
    """Lines with a class: (ids, class)."""
    def rows(path):
        for line in pathlib.Path(path).read_text(encoding="utf-8").split("\n"):
            if line.strip("\r"):
                cells = line.rstrip("\r").split("\t")
                yield list(words(" " + cells[data["textColumn"] - 1].strip()))[: data["maximumLength"]], cells[data["labelColumn"] - 1].strip()

    expect(data["test"] == 0 and "validationPath" in data, "expected a file of its own to validate on, and no share to test on")
    train, test = list(rows(data["path"])), list(rows(data["validationPath"]))
    entries = by_frequency((piece for pieces, _ in train for piece in pieces), data["minimumCount"])
    agree("words", artefact["vocabulary"]["entries"], entries)
    labels = sorted({label for _, label in train})
    agree("labels", artefact["labels"], labels)
    ids = {entry: i + 1 for i, entry in enumerate(entries)}  # 0: unknown
    encode = lambda examples: [(torch.tensor([ids.get(piece, 0) for piece in pieces]), labels.index(label)) for pieces, label in examples]
    return encode(train), encode(test), len(entries) + 1, len(labels)


def log_mel(samples, data):
    """Logarithmic mel spectra [steps, bands], as src/ClusterRnn.Data/Audio/LogMel.cs describes them."""
    rate, bands = data["sampleRate"], data["bands"]
    window, hop = int(rate * data["windowMs"] / 1000), int(rate * data["hopMs"] / 1000)
    size = 1 << (window - 1).bit_length()
    emphasized = samples - 0.97 * numpy.concatenate([[0.0], samples[:-1]])
    steps = 1 if len(samples) <= window else -(-(len(samples) - window) // hop) + 1
    emphasized = numpy.concatenate([emphasized, numpy.zeros(max(0, (steps - 1) * hop + window - len(samples)))])
    hann = 0.5 - 0.5 * numpy.cos(2 * numpy.pi * numpy.arange(window) / window)
    frames = numpy.stack([emphasized[step * hop: step * hop + window] * hann for step in range(steps)])
    power = numpy.abs(numpy.fft.rfft(frames, size)) ** 2
    top = 1127 * math.log(1 + rate / 2 / 700)
    edges = [700 * math.expm1(top * i / (bands + 1) / 1127) * size / rate for i in range(bands + 2)]
    filters = numpy.zeros((size // 2 + 1, bands))
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:])):
        for at in range(math.ceil(low), min(size // 2, math.floor(high)) + 1):
            filters[at, band] = (at - low) / (middle - low) if at <= middle else (high - at) / (high - middle)
        if not (filters[:, band] > 0).any():
            filters[:, band] = 0
            filters[min(size // 2, round(middle)), band] = 1
    spectra = numpy.log(numpy.maximum(1e-8, power @ filters))
    return spectra - spectra.mean(0) if data["center"] else spectra


def read_spoken_words(data, artefact):
    """Recordings, a speaker held out: (spectra, class)."""
    expect(data["validation"] == 0 and "testFiles" in data, "expected no share to validate on, and a pattern of files to test on")
    held = re.compile(data["testFiles"].replace("*", ".*") + "$")
    train, test = [], []
    for path in sorted(glob.glob(data["path"])):
        name = os.path.basename(path)
        (test if held.match(name) else train).append((log_mel(read_wav(path, data), data), name.split("_")[0]))
    labels = sorted({label for _, label in train})
    agree("labels", artefact["labels"], labels)
    every = numpy.concatenate([spectra for spectra, _ in train])
    offset, scale = scaler(artefact, every.mean(0), every.std(0))
    encode = lambda examples: [(torch.tensor((spectra - offset) / scale, dtype=torch.float32), labels.index(label)) for spectra, label in examples]
    return encode(train), encode(test), data["bands"], len(labels)


def read_wav(path, data):
    content = pathlib.Path(path).read_bytes()
    at, samples = 12, None
    while at + 8 <= len(content):
        kind, (length,) = content[at:at + 4], struct.unpack("<I", content[at + 4:at + 8])
        chunk = content[at + 8:at + 8 + length]
        if kind == b"fmt ":
            is_right = struct.unpack("<HHI", chunk[:8]) == (1, 1, data["sampleRate"]) and chunk[14] == 16
            expect(is_right, f"{path}: expected one channel of 16 bits at {data['sampleRate']} a second")
        elif kind == b"data":
            samples = numpy.frombuffer(chunk, "<i2").astype(numpy.float32).astype(numpy.float64) / 32768
        at += 8 + length + (length & 1)
    return samples[: int(data["maximumSeconds"] * data["sampleRate"])]


def scaler(artefact, offsets, scales):
    """Our run's scaler, after a look that it is the one found here."""
    ours = artefact["scaler"]
    for what, here in (("offsets", offsets), ("scales", scales)):
        expect(numpy.allclose(ours[what], here, rtol=1e-4, atol=1e-6), f"the scaler's {what} differ: {ours[what]} in our run, {here} here")
    return numpy.array(ours["offsets"]), numpy.array(ours["scales"])


def read_translation(data, artefact):
    """Pairs of lines: (ids, ids with <eos>); what tests is sources with references as text, and the pairs that validate."""
    def lines(path):
        return pathlib.Path(path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")

    def pairs(source, target):
        return [(a.strip(), b.strip()) for a, b in zip(lines(source), lines(target)) if a.strip() and b.strip()]

    expect(not data["lowercase"] and data["level"] == "word" and "maximumLength" not in data, "expected words as they are written, lines of any length")
    train, test = pairs(data["path"], data["target"]), pairs(data["testPath"], data["testTarget"])
    ids = []
    for side, name in ((0, "vocabulary"), (1, "targetVocabulary")):
        entries = ["<pad>", "<bos>", "<eos>", "<unk>", *by_frequency((piece for pair in train for piece in words(" " + pair[side])), data["minimumCount"])]
        agree(name, artefact[name]["entries"], entries)
        ids.append({entry: i for i, entry in enumerate(entries)})
    encode = lambda text, side: [ids[side].get(piece, UNK) for piece in words(" " + text)]
    encoded = lambda part: [(torch.tensor(encode(source, 0)), torch.tensor(encode(target, 1) + [EOS])) for source, target in part]
    tested = {
        "sources": [torch.tensor(encode(source, 0)) for source, _ in test], "references": [target for _, target in test],
        "entries": list(ids[1]), "validation": encoded(pairs(data["validationPath"], data["validationTarget"]))}
    return encoded(train), tested, len(ids[0]), len(ids[1])


def read_digits(data, artefact):
    """Pictures of IDX files row by row: (pixels from 0 to 1, class)."""
    def pictures(path):
        images, labels = pathlib.Path(path).read_bytes(), pathlib.Path(path.replace("images-idx3", "labels-idx1")).read_bytes()
        count, rows, columns = struct.unpack(">3i", images[4:16])
        pixels = numpy.frombuffer(images, numpy.uint8, offset=16).reshape(count, rows, columns)
        return [(torch.tensor(picture / numpy.float32(255)), label) for picture, label in zip(pixels, labels[8:])]

    expect(data["validation"] == 0 and "testPath" in data, "expected no share to validate on, and a file of its own to test on")
    train, test = pictures(data["path"]), pictures(data["testPath"])
    return train, test, train[0][0].shape[1], data["classes"]


def read_series(data, artefact):
    """A table by rows: (window, the next rows); what tests comes with the values and baselines in the series' own units."""
    columns = artefact["scaler"]["columns"]
    table, gaps = read_table(data, columns)
    rows, window, horizon = len(table), data["window"], data["horizon"]
    tested, validated = int(rows * data["test"]), int(rows * data["validation"])
    train_end, test_start = rows - tested - validated, rows - tested
    is_known = not data["everyStep"] and data["scale"] == "standard" and "trainRows" not in data
    expect(is_known, "expected windows with one target, scaled by mean and deviation, in shares")
    offset, scale = scaler(artefact, table[:train_end].mean(0), table[:train_end].std(0))
    scaled = torch.tensor((table - offset) / scale, dtype=torch.float32)
    named = lambda key, default: [columns.index(name) for name in data[key]] if key in data else default
    targets, features = named("target", [len(columns) - 1]), named("features", list(range(len(columns))))

    def is_whole(last):
        return data["missing"] != "drop" or not (gaps[last - window + 1: last + 1][:, features].any() or gaps[last + 1: last + 1 + horizon][:, targets].any())

    def windows(start, end):
        first = max(window - 1, start - 1)
        return [
            (scaled[last - window + 1: last + 1][:, features], scaled[last + 1: last + 1 + horizon][:, targets].flatten(), last)
            for last in range(first, end - horizon) if is_whole(last)]

    series = {"table": table, "targets": targets, "scale": scale[targets], "offset": offset[targets], "horizon": horizon, "season": data.get("season")}
    return windows(0, train_end), (windows(test_start, rows), series), len(features), horizon * len(targets)


def read_table(data, columns):
    """The columns that our run read, and which cells are missing: they take the value before them. Rows before the first whole one are left out."""
    import csv
    with open(data["path"], newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file, delimiter=data["separator"]))
    names = [name.strip() for name in lines[0]]
    places = [names.index(name) for name in columns]
    number = lambda text: math.nan if text.strip().lower() in ("", "na", "nan", "n/a", "null", "?") else float(text)
    table = numpy.array([[number(line[place]) for place in places] for line in lines[1:]])
    missing = numpy.isnan(table)
    expect(data["missing"] != "error" or not missing.any(), f"{data['path']} has gaps")
    for row in range(1, len(table)):
        table[row] = numpy.where(missing[row], table[row - 1], table[row])
    start = int(numpy.isnan(table).any(1).sum())
    return table[start:], missing[start:]


READERS = {
    "text": read_text, "sentiment": read_sentiment, "spoken-words": read_spoken_words, "translation": read_translation,
    "digits": read_digits, "seasonal": read_series, "air": read_series,
}


# Layers: [time, rows, width] and the rows' lengths in, the same out; after the last time step of each row alone: [rows, width].

class Embedding(nn.Embedding):
    def __init__(self, layer, width, outputs):
        super().__init__(width, layer["units"])
        self.width = layer["units"]

    def call(self, x, lengths, state):
        return self(x), lengths, state


class Dense(nn.Linear):
    def __init__(self, layer, width, outputs):
        super().__init__(width, layer.get("units", outputs))
        expect(not layer["tied"] and layer["activation"] in ("linear", "relu", "tanh"), "expected a dense layer of its own weights")
        self.width, self.function = self.out_features, {"linear": lambda x: x, "relu": torch.relu, "tanh": torch.tanh}[layer["activation"]]

    def call(self, x, lengths, state):
        return self.function(self(x)), lengths, state


class Dropout(nn.Dropout):
    def __init__(self, layer, width, outputs):
        super().__init__(layer["rate"])
        expect(not layer["variational"], "expected dropout of each value by itself")
        self.width = width

    def call(self, x, lengths, state):
        return self(x), lengths, state


class Convolution2d(nn.Conv2d):
    """Over time and the values of a time step, which become channels x places."""

    def __init__(self, layer, width, outputs):
        expect(layer["padding"] == "same" and layer["stride"] == 1 and layer["activation"] == "relu", "expected a convolution of as many time steps, with relu")
        super().__init__(1, layer["units"], (layer["kernel"], layer.get("featureKernel", layer["kernel"])), padding="same")
        self.width = layer["units"] * width

    def call(self, x, lengths, state):
        y = torch.relu(self(x.permute(1, 0, 2)[:, None]))  # [rows, channels, time, places]
        return y.permute(2, 0, 1, 3).flatten(2), lengths, state


class MaxPooling(nn.Module):
    def __init__(self, layer, width, outputs, channels):
        super().__init__()
        self.size, self.features, self.channels = layer["size"], layer["featureSize"], channels
        self.width = width // channels // self.features * channels

    def call(self, x, lengths, state):
        y = F.max_pool2d(x.unflatten(2, (self.channels, -1)).permute(1, 2, 0, 3), (self.size, self.features))
        return y.permute(2, 0, 1, 3).flatten(2), lengths // self.size, state


def recurrent(kind):
    class Recurrent(kind):
        def __init__(self, layer, width, outputs):
            others = ("peepholes", "variational", "recurrentDropout", "residual", "learnedInitialState")
            expect(not any(layer.get(key) for key in others), "expected a recurrent layer as PyTorch has it")
            super().__init__(width, layer["units"], layer["layers"], dropout=layer["dropout"], bidirectional=layer["bidirectional"])
            self.directions = 2 if layer["bidirectional"] else 1
            self.width, self.sequences = self.directions * layer["units"], layer["returnSequences"]

        def call(self, x, lengths, state):
            ragged = int(lengths.min()) < x.shape[0]
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False) if ragged else x
            out, state = super().forward(packed, state)
            if not self.sequences:
                h = state[0] if isinstance(state, tuple) else state
                return torch.cat(list(h[-self.directions:]), -1), None, state
            return pad_packed_sequence(out, total_length=x.shape[0])[0] if ragged else out, lengths, state

    return Recurrent


class CrossAttention(nn.Module):
    """tanh(W [context, h] + b), the encoder's outputs s scored by h W s."""

    def __init__(self, layer, width, outputs, memory):
        super().__init__()
        expect(layer["score"] == "general", "expected scores of the kind general")
        self.query = nn.Linear(width, memory)
        self.combine = nn.Linear(memory + width, layer.get("units", width))
        self.width = self.combine.out_features

    def attend(self, x, memory, lengths):
        scores = torch.einsum("tbd,sbd->tbs", self.query(x), memory)
        beyond = torch.arange(memory.shape[0])[None, :] >= lengths[:, None]
        weights = scores.masked_fill(beyond[None], -math.inf).softmax(-1)
        return torch.tanh(self.combine(torch.cat([torch.einsum("tbs,sbd->tbd", weights, memory), x], -1)))


LAYERS = {
    "embedding": Embedding, "dense": Dense, "dropout": Dropout, "convolution2d": Convolution2d, "max-pooling": MaxPooling,
    "lstm": recurrent(nn.LSTM), "gru": recurrent(nn.GRU), "rnn": recurrent(nn.RNN), "cross-attention": CrossAttention,
}


class Stack(nn.Module):
    """Layers under the names that our checkpoints give them."""

    def __init__(self, layers, width, outputs, memory=None):
        super().__init__()
        seen, channels, self.order = collections.Counter(), 1, []
        for layer in layers:
            expect(all(value == "pytorch" for key, value in layer.items() if "nitializer" in key), "expected PyTorch's initial values")
            kind = layer["type"].replace("-", "_")
            name = kind if seen[kind] == 0 else f"{kind}_{seen[kind]}"
            seen[kind] += 1
            further = {"max_pooling": (channels,), "cross_attention": (memory,)}.get(kind, ())
            module = LAYERS[layer["type"]](layer, width, outputs, *further)
            channels = layer["units"] if kind == "convolution2d" else channels
            width = module.width
            self.add_module(name, module)
            self.order.append(module)
        self.width = width

    def forward(self, x, lengths, state=None, memory=None, memory_lengths=None):
        """The state goes into the recurrent layer, of which there is one; returns its last one too."""
        for layer in self.order:
            if isinstance(layer, CrossAttention):
                x = layer.attend(x, memory, memory_lengths)
            else:
                x, lengths, state = layer.call(x, lengths, state)
        return x, state


class Pair(nn.Module):
    """An encoder, and a decoder that starts from the encoder's last state."""

    def __init__(self, model, sources, targets):
        super().__init__()
        self.encoder = Stack(model["encoder"], sources, None)
        self.decoder = Stack(model["decoder"], targets, targets, self.encoder.width)

    def encode(self, sources, lengths):
        memory, h = self.encoder(sources, lengths)
        return memory, torch.cat(list(h), -1)[None]  # both directions side by side

    def forward(self, sources, lengths, inputs):
        memory, state = self.encode(sources, lengths)
        return self.decoder(inputs, torch.full((inputs.shape[1],), inputs.shape[0]), state, memory, lengths)[0]


# Batches.

def streams(tokens, rows):
    """The first target and the number of targets of each of the streams that a text is cut into."""
    targets = len(tokens) - 1
    bounds = [row * targets // rows for row in range(rows + 1)]
    return [(first, end - first) for first, end in zip(bounds, bounds[1:])]


def spans(tokens, rows, span):
    """A pass through a text: inputs and targets [time, rows], -1 where a stream has ended."""
    cut = streams(tokens, rows)
    longest = max(count for _, count in cut)
    for start in range(0, longest, span):
        time = min(span, longest - start)
        inputs, targets = torch.zeros(time, rows, dtype=torch.long), torch.full((time, rows), -1)
        for row, (first, count) in enumerate(cut):
            here = min(time, count - start)
            inputs[:here, row] = tokens[first + start: first + start + here]
            targets[:here, row] = tokens[first + start + 1: first + start + here + 1]
        yield inputs, targets


def batches(examples, rows, buckets, length):
    """Endless batches of examples: each pass in another order, with buckets of about the same length (src/ClusterRnn.Data/Batching)."""
    while True:
        order = torch.randperm(len(examples)).tolist()
        if buckets:
            pool = 128 * rows
            pools = [order[first: first + pool] for first in range(0, len(order), pool)]
            order = [example for one in pools for example in sorted(one, key=lambda example: length(examples[example]))]
        cut = [order[first: first + rows] for first in range(0, len(order), rows)]
        for batch in torch.randperm(len(cut)).tolist() if buckets else range(len(cut)):
            yield [examples[example] for example in cut[batch]]


def padded(rows):
    """Sequences side by side, [time, rows, ...], and their lengths."""
    return nn.utils.rnn.pad_sequence(rows), torch.tensor([len(row) for row in rows])


# Measures.

def nats(model, tokens, batch):
    total, count, state = 0.0, 0, None
    for inputs, targets in spans(tokens, batch["size"], batch["span"]):
        logits, state = model(inputs, torch.full((inputs.shape[1],), len(inputs)), state)
        total += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum").double().item()
        count += int((targets >= 0).sum())
    return total / count


def accuracy(model, examples):
    right = 0
    for first in range(0, len(examples), 64):
        part = examples[first: first + 64]
        right += int((model(*padded([x for x, _ in part]))[0].argmax(-1) == torch.tensor([label for _, label in part])).sum())
    return right / len(examples)


def rmse(model, tested):
    examples, series = tested
    squares, count = 0.0, 0
    horizon = numpy.arange(1, series["horizon"] + 1)
    for first in range(0, len(examples), 256):
        part = examples[first: first + 256]
        found = model(*padded([x for x, _, _ in part]))[0].double().numpy().reshape(len(part), series["horizon"], -1) * series["scale"] + series["offset"]
        actual = numpy.stack([series["table"][last + horizon][:, series["targets"]] for _, _, last in part])
        squares, count = squares + ((found - actual) ** 2).sum(), count + actual.size
    return math.sqrt(squares / count)


def baselines(tested):
    """The errors of the last value and of the value a season ago."""
    examples, series = tested
    table, horizon = series["table"][:, series["targets"]], numpy.arange(1, series["horizon"] + 1)
    last = numpy.array([last for _, _, last in examples])[:, None]
    actual = table[last + horizon]
    result = {"persistence": float(numpy.sqrt(((table[last] - actual) ** 2).mean()))}
    if series["season"]:
        known = table[last - series["season"] + 1 + (horizon - 1) % series["season"]]
        result["seasonal naive"] = float(numpy.sqrt(((known - actual) ** 2).mean()))
    return result


def translate(model, sources, beam, maximum, penalty):
    """Beam search, the hypotheses of a source side by side; those that ended compete by log-probability over ((5 + length) / 6)^penalty."""
    memory, state = model.encode(*padded(sources))
    lengths = torch.tensor([len(source) for source in sources]).repeat_interleave(beam)
    memory, state = memory.repeat_interleave(beam, 1), state.repeat_interleave(beam, 1)
    alive = [[(0.0, [])] for _ in sources]
    finished = [[] for _ in sources]
    tokens = torch.full((1, len(lengths)), BOS)
    for time in range(maximum):
        logits, state = model.decoder(tokens, torch.ones(len(lengths), dtype=torch.long), state, memory, lengths)
        scores = logits[0].double().log_softmax(-1)
        scores[:, :EOS] = -math.inf
        origin = torch.arange(len(lengths))
        for source, hypotheses in enumerate(alive):
            if not hypotheses:
                continue
            first = source * beam
            joint = torch.stack([score + scores[first + place] for place, (score, _) in enumerate(hypotheses)])
            best, at = joint.flatten().topk(2 * beam)
            kept = []
            for rank, (score, index) in enumerate(zip(best.tolist(), at.tolist())):
                if len(kept) == beam:
                    break
                parent, token = divmod(index, joint.shape[1])
                if token != EOS:
                    origin[first + len(kept)], tokens[0, first + len(kept)] = first + parent, token
                    kept.append((score, hypotheses[parent][1] + [token]))
                elif rank < beam:
                    finished[source].append((score, hypotheses[parent][1]))
            if len(finished[source]) >= beam:
                kept = []
            elif time == maximum - 1:
                finished[source] += kept
                kept = []
            alive[source] = kept
        state = state[:, origin]
        if not any(alive):
            break
    return [max(ended, key=lambda one: one[0] / ((5 + len(one[1])) / 6) ** penalty)[1] for ended in finished]


def bleu_tokens(text):
    """The tokens of mteval-v13a, as sacreBLEU has them."""
    text = text.replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    text = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", f" {text} ")
    text = re.sub(r"([^0-9])([.,])", r"\1 \2 ", text)
    text = re.sub(r"([.,])([^0-9])", r" \1 \2", text)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", text).split()


def bleu_score(texts, references):
    """Corpus BLEU: n-grams up to 4, brevity penalty, exponential smoothing."""
    hits, counts, lengths = [0] * 4, [0] * 4, [0, 0]
    for text, reference in zip(map(bleu_tokens, texts), map(bleu_tokens, references)):
        lengths = [lengths[0] + len(text), lengths[1] + len(reference)]
        for n in range(4):
            grams = lambda tokens: collections.Counter(tuple(tokens[i: i + n + 1]) for i in range(len(tokens) - n))
            known = grams(reference)
            hits[n] += sum(min(count, known[gram]) for gram, count in grams(text).items())
            counts[n] += max(0, len(text) - n)
    if not any(hits) or not all(counts):
        return 0.0
    print("BLEU: n-grams found", hits, "of", counts, "and", lengths[0], "tokens for", lengths[1])
    smoothing, logarithms = 1.0, 0.0
    for hit, count in zip(hits, counts):
        smoothing *= 1 if hit else 2
        logarithms += math.log(100 * hit / count if hit else 100 / (smoothing * count))
    return (1 if lengths[0] >= lengths[1] else math.exp(1 - lengths[1] / lengths[0])) * math.exp(logarithms / 4)


def bleu(model, tested, generate):
    """BLEU of the test part; sources of about the same length are translated together."""
    sources, references = tested["sources"], tested["references"]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    written = [""] * len(sources)
    for first in range(0, len(order), 16):
        group = order[first: first + 16]
        found = translate(model, [sources[i] for i in group], generate["beam"], generate["maximumLength"], generate["lengthPenalty"])
        for i, ids in zip(group, found):
            written[i] = "".join(tested["entries"][token] for token in ids).removeprefix(" ")
    print("\n".join(f"{reference}\n    {text}" for text, reference in list(zip(written, references))[:5]))
    return bleu_score(written, references)


def pair_losses(model, part):
    """The loss of each target token of some pairs: the true tokens before it are known."""
    targets = nn.utils.rnn.pad_sequence([target for _, target in part], padding_value=-1)
    inputs = torch.cat([torch.full((1, len(part)), BOS), targets[:-1].clamp(min=0)])
    logits = model(*padded([x for x, _ in part]), inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none")[targets.flatten() >= 0]


def pair_nats(model, pairs):
    return torch.cat([pair_losses(model, pairs[first: first + 64]) for first in range(0, len(pairs), 64)]).double().mean().item()


# Training.

COURSES = {"constant": lambda share: 1.0, "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2}  # of the learning rate, by the share of the steps


def losses(model, config, train):
    """The loss of each training step, endlessly, as mean over the batch's targets."""
    batch, source = config["batch"], config["data"]["source"]
    if source == "text":
        while True:
            state = None
            for inputs, targets in spans(train, batch["size"], batch["span"]):
                logits, state = model(inputs, torch.full((inputs.shape[1],), len(inputs)), state)
                state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
                yield F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    elif source == "translation":
        for part in batches(train, batch["size"], batch["buckets"], lambda example: max(map(len, example))):
            yield pair_losses(model, part).mean()
    else:
        ragged = len({len(example[0]) for example in train}) > 1
        is_value = torch.is_tensor(train[0][1])
        for part in batches(train, batch["size"], ragged and batch["buckets"], lambda example: len(example[0])):
            outputs = model(*padded([example[0] for example in part]))[0]
            targets = [example[1] for example in part]
            yield F.mse_loss(outputs, torch.stack(targets)) if is_value else F.cross_entropy(outputs, torch.tensor(targets))


def train_model(model, config, train, steps):
    """Trains; returns the loss of each step."""
    schedule, rates = config["schedule"], config["optimizer"]
    is_known = rates["name"] == "adam" and set(schedule) <= {"name", "scaling", "unit", "minimum"} and config["accumulate"] == 1
    expect(is_known and schedule["name"] in COURSES, f"expected Adam at a rate that is {' or '.join(COURSES)}")
    expect(not any(map(float, config["regularization"].values())) and set(config["clip"]) <= {"norm"}, "expected no penalty, and clipping by norm if any")
    expect(float(config["optimizer"].get("weightDecay", 0)) == 0, "expected no weight decay")
    optimizer = torch.optim.Adam(model.parameters(), float(rates["learningRate"]), (float(rates["beta1"]), float(rates["beta2"])), float(rates["epsilon"]))
    course = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: COURSES[schedule["name"]](step / steps))
    model.train()
    seen = []
    for step, loss in zip(range(steps), losses(model, config, train)):
        optimizer.zero_grad()
        loss.backward()
        if "norm" in config["clip"]:
            nn.utils.clip_grad_norm_(model.parameters(), float(config["clip"]["norm"]))
        optimizer.step()
        course.step()
        seen.append(loss.item())
        if step % 100 == 0:
            print(f"step {step + 1} loss {seen[-1]:.4f}", flush=True)
    return seen


def measure(model, config, test):
    """The figure of the table, on the part that is held out; for pairs also the loss of those that validate."""
    model.eval()
    with torch.no_grad():
        source = config["data"]["source"]
        if source == "text":
            return {"value": nats(model, test, config["batch"])}
        if source == "translation":
            return {"value": bleu(model, test, config["generate"]), "validationLoss": pair_nats(model, test["validation"])}
        if isinstance(test, tuple):
            return {"value": rmse(model, test), "baselines": baselines(test)}
        return {"value": accuracy(model, test)}


def checkpoint_of(run):
    """The last checkpoint of a run."""
    return max((run / "checkpoints").iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--seed", type=int)
    action.add_argument("--start", type=pathlib.Path)
    action.add_argument("--evaluate", action="store_true")
    arguments = parser.parse_args()
    config = yaml.safe_load((arguments.run / "config.yaml").read_text())
    artefact = json.loads((checkpoint_of(arguments.run) / "artefacts" / "data.json").read_text())
    expect(config["data"]["source"] in READERS, f"expected a source of {', '.join(READERS)}; found {config['data']['source']}")
    train, test, width, outputs = READERS[config["data"]["source"]](config["data"], artefact)
    torch.manual_seed(arguments.seed or 0)
    model = Pair(config["model"], width, outputs) if "encoder" in config["model"] else Stack(config["model"]["layers"], width, outputs)
    result = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    started = time.monotonic()
    if arguments.seed is None:
        values = read(checkpoint_of(arguments.start or arguments.run) / "model.safetensors")
        model.load_state_dict(values, strict=True)
    if not arguments.evaluate:
        result["steps"] = json.loads((arguments.run / "summary.json").read_text())["steps"]
        result["losses"] = train_model(model, config, train, result["steps"])
    result.update(measure(model, config, test))
    result["seconds"] = round(time.monotonic() - started, 1)
    arguments.json.write_text(json.dumps(result) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
