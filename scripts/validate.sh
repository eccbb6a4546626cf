#!/bin/sh
# Score a checkpoint, or the latest checkpoint of a folder, on DATASET/test. More flags: python -m mmnet evaluate --help
set -eu
[ $# -ge 2 ] || { echo "usage: sh scripts/validate.sh DATASET TRAIN_DIR_OR_CKPT [more flags]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
dataset=$1 checkpoint=$2
shift 2
sh "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" -m mmnet evaluate --dataset_path "$dataset" --checkpoint_path "$checkpoint" "$@"
