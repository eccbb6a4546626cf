#!/bin/sh
# Write DATASET/test as .bin files for msame and ais_bench to Bin/test/ in the project's root. More flags:
# offline_infer/datapre.py --help
set -eu
[ $# -ge 1 ] || { echo "usage: sh scripts/run_datapre.sh DATASET [more flags]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
dataset=$1
shift
sh "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/offline_infer/datapre.py" --dataset_path "$dataset" "$@"
