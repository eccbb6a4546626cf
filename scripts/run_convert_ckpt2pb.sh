#!/bin/sh
# Freeze CKPT (a prefix, or a folder: its latest checkpoint) to offline_infer/mmnet.pb, write the graph without weights to
# offline_infer/model.pb, and compare with the checkpoint on images of DATASET/test. More flags: mmnet freeze --help
set -eu
[ $# -ge 2 ] || { echo "usage: sh scripts/run_convert_ckpt2pb.sh DATASET CKPT [more flags]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
dataset=$1 checkpoint=$2
shift 2
sh "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" -m mmnet freeze --dataset_path "$dataset" --checkpoint_path "$checkpoint" \
    --output "$root/offline_infer/mmnet.pb" --graph "$root/offline_infer/model.pb" "$@"
