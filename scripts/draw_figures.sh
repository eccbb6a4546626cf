#!/bin/sh
# Draw the figures of the README into ./figures.
# Usage: sh scripts/draw_figures.sh DATASET CHECKPOINT [TRAINING_DATASET]
# The models are scored on DATASET/test and measured on this machine. The int8 model is calibrated on
# TRAINING_DATASET/train (default: DATASET). The figures of the README in figure/ are not changed.
set -eu
usage="usage: sh scripts/draw_figures.sh DATASET CHECKPOINT [TRAINING_DATASET]"
[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "$usage" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh" --with dev
models=$(mktemp -d)
trap 'rm -rf "$models"' EXIT
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
python() { "$root/.venv/bin/python" "$@"; }
mmnet() { python -m mmnet "$@" --checkpoint_path "$checkpoint" > "$models/output.txt"; }

dataset=$1 checkpoint=$2 training=${3:-$1}
mmnet freeze --output "$models/mmnet.pb"
mmnet export --output "$models" --format tflite onnx
mmnet export --output "$models" --format tflite --precision float16
mmnet export --output "$models" --format tflite --precision int8 --calibration_dataset "$training"
mkdir -p figures
python "$root/figure/gradient_error_vs_latency.py" figures "$dataset" "$models/mmnet_float32.tflite" \
    "$models/mmnet_float16.tflite" "$models/mmnet_int8.tflite" "$models/mmnet.onnx" \
    "$models/mmnet.pb"
python "$root/figure/networks.py" figures "$dataset"
python "$root/figure/network.py" figures
python "$root/figure/cutout.py" figures
python "$root/figure/clip.py" figures
echo "figures: $PWD/figures"
