#!/bin/sh
# The main job on made-up portraits, no data needed: set up, draw portraits, evaluate, predict. Results: quickstart/
# With a checkpoint (sh scripts/quickstart.sh CKPT) its weights are used, else untrained ones.
set -eu
[ $# -le 1 ] || { echo "usage: sh scripts/quickstart.sh [CKPT]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
mmnet() { "$root/.venv/bin/python" -m mmnet "$@"; }
out=$root/quickstart
checkpoint=${1:-}

mmnet synthesize --dataset_path "$out/portraits" --pictures 32
mmnet evaluate --dataset_path "$out/portraits" ${checkpoint:+--checkpoint_path "$checkpoint"} --output "$out"
mmnet predict "$out/portraits/test/image/portrait0_0001.jpg" ${checkpoint:+--checkpoint_path "$checkpoint"} \
    --output "$out/predicted" --background white
[ -n "$checkpoint" ] || echo "The weights were untrained: sh scripts/quickstart.sh CKPT shows what trained ones do."
