#!/bin/sh
# Train on DATA/train on one device (default: an Ascend chip), score the last checkpoint on DATA/test, and print
# speed, accuracy and duration in the format of the Ascend model zoo:
#   sh scripts/npu_train_full_1p.sh --data_path=DATA [--output_path=FOLDER --batch_size=N --train_steps=N
#       --precision_mode=MODE --device=npu|gpu|cpu] [-- more flags of python -m mmnet train]
# A run in the output folder is resumed. Speed and duration then refer to the remaining steps.
set -eu
data_path= output_path=npu_full_1p batch_size=32 precision_mode=allow_mix_precision device=npu
train_steps=304500 # the first published stage
while [ $# -gt 0 ]; do
    case $1 in
        --data_path=*) data_path=${1#*=} ;;
        --output_path=*) output_path=${1#*=} ;;
        --batch_size=*) batch_size=${1#*=} ;;
        --train_steps=*) train_steps=${1#*=} ;;
        --precision_mode=*) precision_mode=${1#*=} ;;
        --device=*) device=${1#*=} ;;
        --) shift && break ;;
        *) echo "unknown option $1: see the head of $0" >&2 && exit 2 ;;
    esac
    shift
done
[ -n "$data_path" ] || { echo '[Error] para "data_path" must be config' && exit 1; }
[ "$train_steps" -ge 2 ] 2>/dev/null || { echo "--train_steps=$train_steps: must be at least 2" >&2 && exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
# TF Adapter exists for TensorFlow 1.15 only.
[ "$device" != npu ] || [ -e "$root/.venv" ] || export PYTHON="${PYTHON:-python3.7}"
sh "$root/scripts/setup.sh"
mmnet() { "$root/.venv/bin/python" -m mmnet "$@"; }
every=$(((train_steps + 9) / 10)) # about ten lines of the log, or one per 100 steps
[ "$every" -le 100 ] || every=100
mkdir -p "$output_path"
log=$output_path/train.log start=$(date +%s)
{ # the exit code goes through a file, because the pipe returns the exit code of tee
    code=0
    mmnet train --dataset_path "$data_path" --train_dir "$output_path" --batch_size "$batch_size" --device "$device" \
        --precision "$precision_mode" --max_step_from_restore "$train_steps" --step_save_summaries "$every" "$@" \
        2>&1 || code=$?
    echo "$code" >"$log.code"
} | tee -i "$log" >&2
seconds=$(($(date +%s) - start)) code=$(cat "$log.code")
rm "$log.code"
[ "$code" -eq 0 ] || exit "$code"
# Steps per time over all intervals of the log except the first, which contains the start of the graph.
speed=$(awk '{ for (i = 2; i <= NF; i++) if ($i == "images/s," && $(i - 1) > 0) {
    if (last) { steps += $3 - last; time += ($3 - last) / $(i - 1) }
    last = $3 } } END { if (time) printf "%.2f", steps / time }' "$log")
[ -n "$speed" ] || { echo "$log has fewer than two intervals to measure (was the run already complete?)" >&2 && exit 1; }
scores=$(mmnet evaluate --dataset_path "$data_path" --checkpoint_path "$output_path" --device "$device" --json)
echo "------------------ Final result ------------------"
echo "Final Performance images/sec : $speed"
# Accuracy here is the MAD of the alphas at the network's size, 0..1: lower is better.
echo "Final Train Accuracy : $(echo "$scores" | sed 's/.*"MAD\/test": \([^,}]*\).*/\1/')"
echo "E2E Training Duration sec : $seconds"
