#!/bin/sh
# Train on DATASET/train into TRAIN_DIR, or resume the run in TRAIN_DIR. More flags: python -m mmnet train --help
set -eu
[ $# -ge 2 ] || { echo "usage: sh scripts/train.sh DATASET TRAIN_DIR [more flags]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
dataset=$1 train_dir=$2
shift 2
sh "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" -m mmnet train --dataset_path "$dataset" --train_dir "$train_dir" "$@"
