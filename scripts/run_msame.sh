#!/bin/sh
# Run the .om model on the prepared images with msame, or with ais_bench if msame is missing.
# MSAME=/path/to/msame selects msame. The default is msame on PATH or in the project's root.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
model=$root/offline_infer/mmnet.om input=$root/Bin/test/images output=$root/output
usage="usage: sh scripts/run_msame.sh [--model FILE.om] [--input FOLDER] [--output FOLDER]"
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] && [ -n "$2" ] || { echo "$usage" >&2; exit 2; }
    case $1 in
        --model) model=$2 ;;
        --input) input=$2 ;;
        --output) output=$2 ;;
        *) echo "run_msame: unknown option $1; $usage" >&2; exit 2 ;;
    esac
    shift 2
done
[ -f "$model" ] || { echo "run_msame: no model $model: sh scripts/run_pb2om.sh writes it" >&2; exit 2; }
[ -d "$input" ] || { echo "run_msame: no folder $input: sh scripts/run_datapre.sh DATASET writes it" >&2; exit 2; }
mkdir -p "$output"
msame=${MSAME:-$(command -v msame || { [ -x "$root/msame" ] && echo "$root/msame"; } || true)}
if [ -n "$msame" ]; then
    echo "$msame --model $model --input $input --output $output --outfmt BIN"
    exec "$msame" --model "$model" --input "$input" --output "$output" --outfmt BIN
elif python3 -c 'import ais_bench' 2> /dev/null; then
    echo "python3 -m ais_bench --model $model --input $input --output $output --outfmt BIN --batchsize 1"
    exec python3 -m ais_bench --model "$model" --input "$input" --output "$output" --outfmt BIN --batchsize 1
fi
echo "run_msame: found neither msame (set MSAME=/path/to/msame) nor python3 -m ais_bench; without an Ascend chip," \
    "use offline_infer/verify_pbmodel.py, which runs mmnet.pb" >&2
exit 2
