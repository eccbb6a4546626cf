#!/bin/sh
# The main job on made-up portraits, no data needed: set up, draw portraits, train a small network, stop, go on, score it
# before and after, cut a person out. A few minutes; everything is left in quickstart/.
set -eu
[ $# -eq 0 ] || { echo "usage: sh scripts/quickstart.sh" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
out=$root/quickstart
rm -rf "$out"
mmnet() { "$root/.venv/bin/python" -m mmnet "$@"; }
train() {
    mmnet train --dataset_path "$out/portraits" --train_dir "$out/run" --width_multiplier 0.5 --size 128 --batch_size 16 \
        --learning_rate 2e-3 --step_save_summaries 25 --max_step_from_restore "$1"
}
evaluate() { mmnet evaluate --dataset_path "$out/portraits" --output "$out/run" "$@"; }

mmnet synthesize --dataset_path "$out/portraits" --dataset_split_name train --pictures 64 --seed 1 --shape 400 300
mmnet synthesize --dataset_path "$out/portraits" --pictures 16 --shape 400 300
evaluate --width_multiplier 0.5 --size 128 --json > "$out/untrained.json"
train 125 # and stop
train 250 # goes on from there
evaluate --checkpoint_path "$out/run"
evaluate --checkpoint_path "$out/run" --json > "$out/trained.json"
mmnet predict "$out/portraits/test/image/portrait0_0004.jpg" --checkpoint_path "$out/run" --output "$out/predicted" \
    --background white
"$root/.venv/bin/python" -c '
import json, sys
before, after = [json.load(open(path))["MAD/test"] for path in sys.argv[1:]]
print("MAD (0..1) on portraits it has not seen: %.4f untrained, %.4f after 250 steps" % (before, after))
sys.exit(after >= before)' "$out/untrained.json" "$out/trained.json"
