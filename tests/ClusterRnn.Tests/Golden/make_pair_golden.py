#!/usr/bin/python3
"""Writes the golden values of encoder-decoder models that ClusterRnn.Tests/Golden compares ours with.

    /usr/bin/python3 tests/ClusterRnn.Tests/Golden/make_pair_golden.py

Made as make_golden.py makes its own (PyTorch 1.13, one thread, float64, 9 digits). Recurrent ones: nn.LSTM, nn.GRU and nn.RNN over
packed sources, the decoder by hand (bridges, scores, masks, joined states). Transformers: nn.TransformerEncoderLayer and
nn.TransformerDecoderLayer; nn.MultiheadAttention's in_proj_weight lies in q_proj and kv_proj in our layout.
"""
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from golden import named, numbers, write


TIME, ROWS, SOURCES, TARGETS = 6, 4, 11, 9
LENGTHS, TARGET_LENGTHS = [4, 6, 1, 5], [5, 2, 6, 3]
BEGINNING = 1


def case(seed, build):
    """build(add) returns the configuration and f(sources, inputs) -> logits; add(name, module) registers parameters under our names."""
    torch.manual_seed(seed)
    modules = {}

    def add(name, module):
        modules[name] = module
        for n, p in module.named_parameters():
            if "norm" in n or ("norm" in name and p.dim() == 1):
                nn.init.normal_(p, 1.0 if n.endswith("weight") else 0.0, 0.3)
            elif p.dim() == 1 and "proj" in n:
                nn.init.normal_(p, 0.0, 0.3)
        return module

    model, f = build(add)
    sources = torch.zeros(TIME, ROWS, dtype=torch.long)
    targets = torch.full((TIME, ROWS), -1)
    for row in range(ROWS):
        sources[: LENGTHS[row], row] = torch.randint(0, SOURCES, (LENGTHS[row],))
        targets[: TARGET_LENGTHS[row], row] = torch.randint(2, TARGETS, (TARGET_LENGTHS[row],))
    inputs = torch.cat([torch.full((1, ROWS), BEGINNING), targets[:-1]]).clamp(min=0)
    logits = f(sources, inputs)
    loss = F.cross_entropy(logits.reshape(-1, TARGETS), targets.reshape(-1), ignore_index=-1)
    leaves = {f"{name}.{n}" if n else name: p for name, module in modules.items() for n, p in module.named_parameters()}
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()))))
    return {
        "model": model, "time": TIME, "rows": ROWS, "targetTime": TIME, "outputWidth": TARGETS, "lengths": LENGTHS,
        "tokens": sources.reshape(-1).tolist(), "vocabulary": SOURCES, "targetTokens": targets.reshape(-1).tolist(),
        "stateIn": [], "stateOut": [], "reset": True,
        "parameters": named(split(leaves)), "outputs": numbers(logits), "loss": float("%.12g" % loss.item()), "gradients": named(split(gradients)),
    }


def split(tensors):
    """nn.MultiheadAttention's joint projection as queries' and memory's."""
    result = {}
    for name, tensor in tensors.items():
        if "multihead_attn.in_proj_" in name:
            kind = name.rsplit("_", 1)[1]
            prefix = name[: name.index("in_proj_")]
            width = tensor.shape[0] // 3
            result[f"{prefix}q_proj.{kind}"] = tensor[:width]
            result[f"{prefix}kv_proj.{kind}"] = tensor[width:]
        else:
            result[name] = tensor
    return result


CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def encode(rnn, x):
    out, state = rnn(pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False))
    return pad_packed_sequence(out, total_length=TIME)[0], state


def levels(state, directions):
    """[levels * directions, rows, units] as one [rows, directions * units] a level."""
    return [torch.cat(list(state[i : i + directions]), -1) for i in range(0, state.shape[0], directions)]


def recurrent(encoder, units, layers, both, decoder, decoder_units, decoder_layers, score, joined):
    def build(add):
        directions = 2 if both else 1
        width = directions * units
        source = add("encoder.embedding", nn.Embedding(SOURCES, 5))
        rnn = add(f"encoder.{encoder}", CELLS[encoder](5, units, layers, bidirectional=both))
        target = add("decoder.embedding", nn.Embedding(TARGETS, 4))
        cell = CELLS[decoder](4, decoder_units, decoder_layers)
        add(f"decoder.{decoder}", cell)
        bridges = {}
        for level in range(decoder_layers):
            if width != decoder_units:
                bridges["h", level] = add(f"decoder.{decoder}.bridge_h_l{level}", nn.Linear(width, decoder_units))
            if decoder == "lstm" and (width != decoder_units or encoder != "lstm"):
                bridges["c", level] = add(f"decoder.{decoder}.bridge_c_l{level}", nn.Linear(width, decoder_units))
        query = add("decoder.cross_attention.query", nn.Linear(decoder_units, 3 if score == "additive" else width)) if score in ("general", "additive") else None
        key = add("decoder.cross_attention.key", nn.Linear(width, 3)) if score == "additive" else None
        vector = nn.ParameterList([nn.Parameter(torch.randn(3))]) if score == "additive" else None
        if vector is not None:
            holder = nn.Module()
            holder.weight = vector[0]
            add("decoder.cross_attention.score", holder)
        combine = add("decoder.cross_attention.combine", nn.Linear(width + decoder_units, joined))
        dense = add("decoder.dense", nn.Linear(joined, TARGETS))
        mask = torch.tensor([[t >= n for t in range(TIME)] for n in LENGTHS])  # [rows, time]

        def f(sources, inputs):
            memory, state = encode(rnn, source(sources))
            h, c = state if encoder == "lstm" else (state, None)
            hs = levels(h, directions)[-decoder_layers:]
            cs = levels(c, directions)[-decoder_layers:] if c is not None else hs
            start = torch.stack([torch.tanh(bridges["h", i](hs[i])) if ("h", i) in bridges else hs[i] for i in range(decoder_layers)])
            if decoder == "lstm":
                start = (start, torch.stack([torch.tanh(bridges["c", i](cs[i])) if ("c", i) in bridges else cs[i] for i in range(decoder_layers)]))
            out, _ = cell(target(inputs), start)
            if score == "additive":
                scores = torch.tanh(query(out)[:, None] + key(memory)[None]) @ vector[0]  # [T, S, B]
            else:
                scores = torch.einsum("tbd,sbd->tsb", query(out) if query is not None else out, memory)
            weights = scores.masked_fill(mask.t()[None], float("-inf")).softmax(1)
            context = torch.einsum("tsb,sbd->tbd", weights, memory)
            return dense(torch.tanh(combine(torch.cat([context, out], -1))))

        attention = {"type": "cross-attention", "score": score, "units": joined}
        if score == "additive":
            attention["scoreUnits"] = 3
        return {
            "encoder": [{"type": "embedding", "units": 5}, {"type": encoder, "units": units, "layers": layers, "bidirectional": both}],
            "decoder": [{"type": "embedding", "units": 4}, {"type": decoder, "units": decoder_units, "layers": decoder_layers}, attention, {"type": "dense"}],
        }, f

    return build


def transformer(width, heads, units, before, activation, layers):
    def build(add):
        source = add("encoder.embedding", nn.Embedding(SOURCES, width))
        options = dict(dropout=0.0, activation=activation, norm_first=before)
        encoders = [add(f"encoder.transformer.layers.{i}", nn.TransformerEncoderLayer(width, heads, units, **options)) for i in range(layers)]
        target = add("decoder.embedding", nn.Embedding(TARGETS, width))
        decoders = [add(f"decoder.transformer.layers.{i}", nn.TransformerDecoderLayer(width, heads, units, **options)) for i in range(layers)]
        norms = [add(f"{part}.transformer.norm", nn.LayerNorm(width)) for part in ("encoder", "decoder")] if before else [lambda x: x] * 2
        dense = add("decoder.dense", nn.Linear(width, TARGETS))
        padding = torch.tensor([[t >= n for t in range(TIME)] for n in LENGTHS])
        causal = torch.triu(torch.ones(TIME, TIME, dtype=torch.bool), 1)

        def f(sources, inputs):
            memory, x = source(sources), target(inputs)
            for layer in encoders:
                memory = layer(memory, src_key_padding_mask=padding)
            memory = norms[0](memory)
            for layer in decoders:
                x = layer(x, memory, tgt_mask=causal, memory_key_padding_mask=padding)
            return dense(norms[1](x))

        stack = {"type": "transformer", "layers": layers, "heads": heads, "units": units, "norm": "pre" if before else "post", "activation": activation}
        return {"encoder": [{"type": "embedding", "units": width}, stack], "decoder": [{"type": "embedding", "units": width}, stack, {"type": "dense"}]}, f

    return build


cases = {
    "pair-lstm-general": case(900, recurrent("lstm", 3, 2, True, "lstm", 7, 2, "general", 5)),
    "pair-gru-dot": case(901, recurrent("gru", 6, 1, False, "gru", 6, 1, "dot", 6)),
    "pair-rnn-additive": case(902, recurrent("rnn", 4, 1, False, "lstm", 4, 1, "additive", 5)),
    "pair-lstm-gru": case(913, recurrent("lstm", 2, 2, True, "gru", 4, 1, "dot", 3)),
    "pair-transformer-pre": case(904, transformer(6, 2, 9, True, "gelu", 2)),
    "pair-transformer-post": case(905, transformer(6, 3, 17, False, "relu", 1)),
}
write("pairs.json", cases)
