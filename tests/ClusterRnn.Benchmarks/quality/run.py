#!/usr/bin/env python3
"""Trains each application here and in PyTorch on real data and sets the figures side by side.

    python3 tests/ClusterRnn.Benchmarks/quality/run.py --data DATA --seeds 1,2,3 [--only sentiment,digits] [--steps 20]

DATA holds tinyshakespeare.txt, sst2/, multi30k/, spoken-digits/, mnist/, daily-min-temperatures.csv and pollution.csv.
What is trained stands in APPLICATIONS below: a file of configs/ and what is set otherwise. pytorch_quality.py reads the
settings of our run from its folder, so that both train the same architecture on the same parts of the data for the same
number of steps. It does two things with a run: it evaluates the model that we trained (`checked`: the same figure must come
out, or the two sides don't measure the same), and it trains the same from PyTorch's own initial values.

Each finished training is written to Results/quality.json at once and isn't done again while its settings stay as they are;
Results/quality.md is the table. --steps N gives every training N steps and leaves Results alone: a short look whether all works.
Needs torch, numpy and yaml in the Python that runs it (--python names another one), and one core for an hour or two.
"""
import argparse
import dataclasses
import gzip
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
RESULTS = HERE.parent / "Results"
COMMAND = "python3 tests/ClusterRnn.Benchmarks/quality/run.py --data DATA --seeds 1,2,3"

REPORT = """# Quality beside PyTorch

    {command}

The same architecture, parts of the data, batch, spans, learning rate, clipping and number of steps here and in PyTorch 1.13, and the seeds
{seeds}: mean and standard deviation. Each side draws its own initial values (of the same distributions), orders and dropout masks.
"Within the spread": the means lie no further apart than the larger of both deviations.

{table}
How it is made sure that both sides do the same thing:

- `pytorch_quality.py` reads the settings from our run's folder and the data by itself. Vocabularies, labels, scalers and the number of
  parameters must be those that our run saved.
- Each model that we trained is also evaluated by PyTorch, from our checkpoint, by PyTorch's own layers, beam search and BLEU; the figure
  must be ours (below).{alike}

The steps are a stated budget, not what the applications reach when trained to their end. Where the learning rate stays as it is, the last
batches decide by chance. Every run:

{details}"""


@dataclasses.dataclass(frozen=True)
class Application:
    """One row of the table."""

    title: str
    metric: str  # what is compared, for people
    figure: str  # where it stands in our summary.json
    config: str
    steps: int
    settings: tuple  # of --set; {data} is the folder with the data, {work} the one for what is made of it
    scale: float = 1.0
    digits: int = 3
    higher_is_better: bool = False
    tolerance: float = 0.002  # how far PyTorch's figure for our model may lie from ours, in the table's units
    same_start: int = 0  # steps that both sides also take from the same initial values, where nothing else is drawn
    parts: tuple = ("",)  # what {part} stands for: each seed trains once for each, and the mean of the figures counts


APPLICATIONS = {
    "characters": Application(
        "tinyshakespeare, characters: LSTM 256", "validation, nats", "loss", "char-lm.yaml", 600,
        ("data.source=text", "data.path={data}/tinyshakespeare.txt"), same_start=20),
    "sentiment": Application(
        "SST-2: bidirectional LSTM 48", "dev accuracy, %", "validationAccuracy", "sentiment.yaml", 868,
        ("data.path={data}/sst2/train.tsv", "data.validationPath={data}/sst2/dev.tsv", "data.test=0"),
        scale=100, digits=2, higher_is_better=True, tolerance=0.12),
    "translation": Application(
        "multi30k, English to German: GRU 2 x 128 and 256 with attention, beam 4", "BLEU, test set of 2016", "testBleu", "translation.yaml", 450,
        ("data.path={data}/multi30k/train.en", "data.target={data}/multi30k/train.de", "data.minimumCount=2",
         "data.validationPath={data}/multi30k/val.en", "data.validationTarget={data}/multi30k/val.de",
         "data.testPath={data}/multi30k/test_2016_flickr.en", "data.testTarget={data}/multi30k/test_2016_flickr.de",
         "model.encoder=[{{type: embedding, units: 128}}, {{type: dropout, rate: 0.2}}, {{type: gru, units: 128, bidirectional: true}}]",
         "model.decoder=[{{type: embedding, units: 128}}, {{type: dropout, rate: 0.2}}, {{type: gru, units: 256}}, {{type: cross-attention}}, "
         "{{type: dropout, rate: 0.2}}, dense]", "optimizer.learningRate=0.002"),
        digits=2, higher_is_better=True, tolerance=0.05),
    "spoken-digits": Application(
        "spoken digits, each of four speakers held out once: convolution and bidirectional GRU 48", "accuracy, %, mean of the four",
        "testAccuracy", "spoken-words.yaml", 282,
        ("data.path={data}/spoken-digits/*.wav", "data.testFiles=\"*_{part}_*\"", "data.validation=0"),
        scale=100, digits=1, higher_is_better=True, tolerance=0.21, parts=("george", "jackson", "nicolas", "yweweler")),
    "digits": Application(
        "handwritten digits row by row, every fifth of MNIST's t10k held out: bidirectional LSTM 48", "accuracy, %", "testAccuracy", "digits.yaml", 1000,
        ("data.path={work}/train-images-idx3-ubyte", "data.testPath={work}/test-images-idx3-ubyte", "data.validation=0",
         "schedule={{name: cosine}}"),
        scale=100, digits=2, higher_is_better=True, tolerance=0.051),
    "temperatures": Application(
        "daily minimum temperatures, a day ahead: LSTM 32", "test RMSE, degrees", "testRootMeanSquaredError", "seeds/seasonal.yaml", 1200,
        ("data.path={data}/daily-min-temperatures.csv", "data.season=365", "schedule={{name: constant}}")),
    "air-quality": Application(
        "Beijing's air, PM2.5 of each of the next 24 hours from eight values of 48: GRU 24", "test RMSE, µg/m³", "testRootMeanSquaredError",
        "forecast.yaml", 1500,
        ("data.path={data}/pollution.csv", "data.features=[pm2.5, DEWP, TEMP, PRES, Iws, Is, Ir, hour]", "data.target=[pm2.5]",
         "data.missing=drop", "schedule={{name: cosine}}"),
        digits=2),
}


def settings_of(application, data, work, part, steps):
    """What is set on top of the config."""
    everywhere = (
        f"stop={{steps: {steps}}}", f"evaluate.every={steps}", f"checkpoint.every={steps}",
        "output.tensorBoard=false", "output.report=false")
    return [setting.format(data=data, work=work, part=part) for setting in application.settings] + list(everywhere)


def fingerprint(application, steps):
    """Tells trainings with other settings apart."""
    lines = (ROOT / "configs" / application.config).read_text().splitlines()
    said = [line for line in lines if not line.startswith("#")] + settings_of(application, "DATA", "WORK", "PART", steps)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def split_pictures(source, work):
    """MNIST's t10k as IDX files to train and to test on: every fifth picture tests."""
    for kind, head in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8)):
        file = source / f"t10k-{kind}.gz"
        if not file.exists():
            sys.exit(f"run.py: expected {file}; found none. Put MNIST's t10k there, or leave the digits out by --only")
        content = gzip.decompress(file.read_bytes())
        count = int.from_bytes(content[4:8], "big")
        size = (len(content) - head) // count
        items = [content[head + i * size: head + (i + 1) * size] for i in range(count)]
        for name, kept in (("train", [item for i, item in enumerate(items) if i % 5 != 4]), ("test", items[4::5])):
            (work / f"{name}-{kind}").write_bytes(content[:4] + len(kept).to_bytes(4, "big") + content[8:head] + b"".join(kept))


def call(command, log):
    """Runs a command to its end; its output goes to a file, which is shown when it fails."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", CLUSTERRNN_SKIP_BUILD="1")
    with open(log, "w") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment).returncode
    if code != 0:
        sys.exit(f"{' '.join(map(str, command))}\nfailed with exit code {code}; its output ({log}):\n{pathlib.Path(log).read_text()[-3000:]}")


def python_with_torch(named):
    """The first Python that has what pytorch_quality.py needs."""
    candidates = [named] if named else [sys.executable, "/usr/bin/python3"]
    for candidate in candidates:
        if shutil.which(candidate) and subprocess.run([candidate, "-c", "import torch, numpy, yaml"], stderr=subprocess.DEVNULL).returncode == 0:
            return candidate
    sys.exit(f"run.py: none of {', '.join(candidates)} has torch, numpy and yaml; name a Python that has them by --python, or train ours alone by --side ours")


def train_ours(application, settings, seed, folder):
    """Our training, to a run folder; one that is there is of a training that was cut off."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [ROOT / "clusterrnn", "train", ROOT / "configs" / application.config, "--quiet", "--workers", "1", "--seed", str(seed), "--out", folder]
    for setting in settings:
        command += ["--set", setting]
    call(command, f"{folder}.log")


def summary_of(application, folder):
    """What a run of ours came to."""
    summary = json.loads((folder / "summary.json").read_text())
    return {
        "value": summary["figures"][application.figure] * application.scale, "parameters": summary["parameters"],
        "steps": summary["steps"], "seconds": summary["wallSeconds"],
        "trainLoss": summary["finalTrainLoss"], "validationLoss": summary["finalValidationLoss"],
        "modelSha256": summary["modelSha256"],
    }


def run_pytorch(application, python, folder, *options):
    """PyTorch's side; returns what it printed."""
    output = pathlib.Path(f"{folder}.pytorch{options[0]}.json")
    call([python, HERE / "pytorch_quality.py", folder, "--json", output, *options], f"{output}.log")
    result = json.loads(output.read_text())
    result["value"] *= application.scale
    losses = result.pop("losses", None)
    return (result | {"trainLoss": losses[-1]} if losses else result), losses


class Book:
    """The trainings done so far, kept in a file that is read anew each time: another run.py may write to it meanwhile."""

    def __init__(self, path):
        self.path = path

    @property
    def runs(self):
        return json.loads(self.path.read_text())["runs"] if self.path.exists() else []

    def find(self, **keys):
        return next((run for run in self.runs if all(run.get(key) == value for key, value in keys.items())), None)

    def add(self, run):
        same = ("application", "framework", "seed", "part")
        order = {name: place for place, name in enumerate(APPLICATIONS)}
        runs = [other for other in self.runs if any(other[key] != run[key] for key in same)] + [run]
        runs.sort(key=lambda one: (order.get(one["application"], len(order)), one["seed"], one["part"], one["framework"]))
        lines = ",\n  ".join(map(json.dumps, runs))
        new = self.path.with_suffix(".new")
        new.write_text(f'{{"runs": [\n  {lines}\n]}}\n')
        new.replace(self.path)


def mean_and_spread(values, digits):
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}"


def verdict(ours, theirs, higher_is_better):
    """Ours against theirs: whether the means lie further apart than the larger of both deviations."""
    difference = statistics.mean(ours) - statistics.mean(theirs)
    difference = difference if higher_is_better else -difference
    spread = max(statistics.stdev(ours), statistics.stdev(theirs)) if len(ours) > 1 and len(theirs) > 1 else 0.0
    if difference >= 0:
        return "better" if difference > spread else "within the spread, better"
    return "within the spread" if -difference <= spread else "worse"


def found(book, name, framework, seeds, steps):
    """The runs of one side, for each seed a list of its parts; None while one is missing."""
    application = APPLICATIONS[name]
    runs = [
        [book.find(application=name, framework=framework, seed=seed, part=part, fingerprint=fingerprint(application, steps)) for part in application.parts]
        for seed in seeds]
    return None if any(run is None for parts in runs for run in parts) else runs


def table(book, seeds, steps_of):
    """The table as Markdown."""
    lines = ["| application | what is measured | steps | ours | PyTorch | ours is | beside it |", "|---|---|---|---|---|---|---|"]
    for name, application in APPLICATIONS.items():
        sides = [found(book, name, framework, seeds, steps_of(application)) for framework in ("ours", "pytorch")]
        if None in sides:
            continue
        ours, theirs = ([statistics.mean(run["value"] for run in parts) for parts in runs] for runs in sides)
        baselines = ", ".join(f"{baseline} {value:.{application.digits}f}" for baseline, value in sides[1][0][0].get("baselines", {}).items())
        lines.append(
            f"| {application.title} | {application.metric} | {steps_of(application):,} | {mean_and_spread(ours, application.digits)} "
            f"| {mean_and_spread(theirs, application.digits)} | {verdict(ours, theirs, application.higher_is_better)} | {baselines} |")
    return "\n".join(lines) + "\n"


def details(book, seeds, steps_of):
    """Every run by itself."""
    lines = ["| application | seed | ours | our model, evaluated by PyTorch | PyTorch | parameters |", "|---|---|---|---|---|---|"]
    for name, application in APPLICATIONS.items():
        sides = [found(book, name, framework, seeds, steps_of(application)) for framework in ("ours", "pytorch")]
        if None in sides:
            continue
        for ours, theirs in zip(*(itertools.chain.from_iterable(runs) for runs in sides)):
            digits = application.digits + 1
            lines.append(
                f"| {' '.join(filter(None, (name, ours['part'])))} | {ours['seed']} | {ours['value']:.{digits}f} | {ours['checked']:.{digits}f} "
                f"| {theirs['value']:.{digits}f} | {ours['parameters']:,} |")
    return "\n".join(lines) + "\n"


def agreements(book, seeds, steps_of):
    """What else shows that both sides do the same."""
    for run in book.runs:
        if run["framework"] == "same start":
            yield (
                f"{APPLICATIONS[run['application']].title}: {run['steps']} steps from the same initial values, where nothing else is drawn: "
                f"the losses are at most {run['value']:.0e} of the loss apart.")
    for name, application in APPLICATIONS.items():
        sides = [found(book, name, framework, seeds, steps_of(application)) for framework in ("ours", "pytorch")]
        if None not in sides and all("validationLoss" in run for parts in sides[1] for run in parts):
            ours, theirs = (mean_and_spread([run["validationLoss"] for parts in runs for run in parts], 3) for runs in sides)
            yield f"{application.title}: validation loss {ours} nats here, {theirs} in PyTorch."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", help="names of applications, with commas")
    parser.add_argument("--steps", type=int, help="of every training; Results stays as it is")
    parser.add_argument("--side", choices=("ours", "both"), default="both", help="ours: PyTorch's part is left for later")
    parser.add_argument("--python", help="a Python with torch, numpy and yaml; default: this one or /usr/bin/python3")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "runs" / "quality", help="where the runs' folders are put")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(APPLICATIONS)
    for name in names:
        if name not in APPLICATIONS:
            parser.error(f"--only expects some of {', '.join(APPLICATIONS)}; found '{name}'")
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    if arguments.side == "both":
        arguments.python = python_with_torch(arguments.python)
    data = arguments.data.resolve()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    results = work if arguments.steps else RESULTS
    book = Book(results / "quality.json")
    steps_of = lambda application: arguments.steps or application.steps
    if os.environ.get("CLUSTERRNN_SKIP_BUILD") != "1":
        subprocess.run([ROOT / "clusterrnn", "--version"], check=True, stdout=subprocess.DEVNULL)  # builds what has changed

    if "digits" in names:
        split_pictures(data / "mnist", work)
    for name in names:
        for seed in seeds:
            for part in APPLICATIONS[name].parts:
                compare(book, name, seed, part, steps_of(APPLICATIONS[name]), data, work, arguments)
    for name in names:
        if APPLICATIONS[name].same_start and arguments.side == "both":
            start_alike(book, name, seeds[0], data, work, arguments)
    report = REPORT.format(
        command=COMMAND, seeds=", ".join(map(str, seeds)), table=table(book, seeds, steps_of), details=details(book, seeds, steps_of),
        alike="".join(f"\n- {line}" for line in agreements(book, seeds, steps_of)))
    (results / "quality.md").write_text(report)
    print(table(book, seeds, steps_of))


def start_alike(book, name, seed, data, work, arguments):
    """Takes the first steps on both sides from the same initial values: how far the losses lie apart, as a share of the loss."""
    application = APPLICATIONS[name]
    steps = application.same_start
    keys = {"application": name, "seed": seed, "part": "", "framework": "same start", "fingerprint": fingerprint(application, steps)}
    if book.find(**keys):
        return
    initial, trained = work / f"{name}-initial", work / f"{name}-first-steps"
    train_ours(application, settings_of(application, data, work, "", 1) + ["optimizer.learningRate=0"], seed, initial)
    train_ours(application, settings_of(application, data, work, "", steps), seed, trained)
    _, losses = run_pytorch(application, arguments.python, trained, "--start", str(initial))
    lines = map(json.loads, (trained / "metrics.jsonl").read_text().splitlines())
    ours = [line["loss"] for line in lines if "loss" in line]
    apart = max(abs(one - other) / other for one, other in zip(ours, losses, strict=True))
    book.add({**keys, "steps": steps, "value": apart})
    print(f"{name} {seed}: the losses of {steps} steps from the same initial values lie {apart:.1e} apart", flush=True)


def compare(book, name, seed, part, steps, data, work, arguments):
    """Does what is not done yet of one application with one seed."""
    application = APPLICATIONS[name]
    keys = {"application": name, "seed": seed, "part": part, "fingerprint": fingerprint(application, steps)}
    folder = work / "-".join(filter(None, (name, part, keys["fingerprint"], str(seed))))
    label = " ".join(filter(None, (name, part, str(seed))))
    has_run = (folder / "summary.json").exists()
    ours, theirs = book.find(framework="ours", **keys), book.find(framework="pytorch", **keys)
    if ours and theirs and "checked" in ours:
        return
    if not ours or not has_run:
        if not has_run:
            train_ours(application, settings_of(application, data, work, part, steps), seed, folder)
        ours = {**keys, "framework": "ours", **summary_of(application, folder)}
        book.add(ours)
        print(f"{label}: ours {ours['value']:.4f}, {ours['seconds']:.0f} s", flush=True)
    if arguments.side == "ours":
        return
    if "checked" not in ours:
        checked, _ = run_pytorch(application, arguments.python, folder, "--evaluate")
        if abs(checked["value"] - ours["value"]) > application.tolerance or checked["parameters"] != ours["parameters"]:
            sys.exit(
                f"{label}: for our model of {ours['parameters']} parameters we say {ours['value']}; "
                f"PyTorch says {checked['value']}, for {checked['parameters']} parameters")
        ours["checked"] = checked["value"]
        book.add(ours)
        print(f"{label}: the same model in PyTorch {checked['value']:.4f}", flush=True)
    if not theirs:
        theirs = {**keys, "framework": "pytorch", **run_pytorch(application, arguments.python, folder, "--seed", str(seed))[0]}
        book.add(theirs)
        print(f"{label}: PyTorch {theirs['value']:.4f}, {theirs['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
