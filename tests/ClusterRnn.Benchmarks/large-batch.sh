#!/bin/sh
# The loss after the same samples with batches of 64, 512 and 2048: prints the table of Results/large-batch.md.
#     tests/ClusterRnn.Benchmarks/large-batch.sh
# Learning rates and warm-up are chosen for 64 once and scaled from there; nothing is tuned for a larger batch.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd -P)
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
"$root/clusterrnn" --version > /dev/null # builds what has changed
export CLUSTERRNN_SKIP_BUILD=1

loss() { # batch, settings: the mean squared error of the validation part after the last step
    batch=$1
    shift
    folder=$(mktemp -d "$runs/XXXXXX")/run
    if "$root/clusterrnn" train "$root/configs/large-batch.yaml" --quiet --workers 1 --out "$folder" \
        --set batch.size="$batch" --set evaluate.every=1000000 --set nonFinite=stop "$@" > "$folder.log" 2>&1; then
        sed -n 's/.*"finalValidationLoss": \([0-9.eE+-]*\).*/\1/p' "$folder/summary.json" | awk '{ printf "%.2g", $1 }'
    elif grep -q 'not finite' "$folder.log"; then
        printf 'not finite'
    else
        cat "$folder.log" >&2
        printf 'failed'
    fi
}

row() { # title, settings
    title=$1
    shift
    printf '| %s | %s | %s | %s |\n' "$title" "$(loss 64 "$@")" "$(loss 512 "$@")" "$(loss 2048 "$@")"
}

adam="--set optimizer.name=adam --set optimizer.learningRate=0.04"
printf '| | 64 | 512 | 2048 |\n|---|---|---|---|\n'
row 'Adam, the rate of 64' $adam --set schedule.scaling=none --set schedule.warmup.epochs=0
row 'Adam, plain scaling: rate x batch / 64' $adam --set schedule.scaling=linear --set schedule.warmup.epochs=0
row 'Adam, LEGW: rate x root, warm-up x batch / 64' $adam
row 'LAMB, rate and warm-up as LEGW' --set optimizer.name=lamb
