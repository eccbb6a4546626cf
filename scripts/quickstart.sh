#!/bin/sh
# The main job on made-up portraits, no data needed: set up, draw portraits, train a small network, stop, go on, score it,
# cut a person out; freeze it and take the Ascend path with a stand-in for the chip. Everything is left in quickstart/.
set -eu
[ $# -eq 0 ] || { echo "usage: sh scripts/quickstart.sh" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
out=$root/quickstart
rm -rf "$out"
python() { "$root/.venv/bin/python" "$@"; }
mmnet() { python -m mmnet "$@"; }
train() {
    mmnet train --dataset_path "$out/portraits" --train_dir "$out/run" --width_multiplier 0.5 --size 128 --batch_size 16 \
        --learning_rate 2e-3 --step_save_summaries 25 --max_step_from_restore "$1"
}
evaluate() { mmnet evaluate --dataset_path "$out/portraits" --output "$out/run" --json "$@"; }

mmnet synthesize --dataset_path "$out/portraits" --dataset_split_name train --pictures 64 --seed 1 --shape 400 300
mmnet synthesize --dataset_path "$out/portraits" --pictures 16 --shape 400 300
evaluate --width_multiplier 0.5 --size 128 > "$out/untrained.json"
train 125 # and stop
train 250 # goes on from there
evaluate --checkpoint_path "$out/run" > "$out/trained.json"

mmnet freeze --checkpoint_path "$out/run" --output "$out/mmnet.pb" --dataset_path "$out/portraits"
python "$root/offline_infer/datapre.py" --dataset_path "$out/portraits" --output "$out/Bin" --size 128
python "$root/offline_infer/verify_pbmodel.py" --model "$out/mmnet.pb" --input "$out/Bin/test/images" \
    --output "$out/output" | tail -n 4
python "$root/offline_infer/evaluate.py" --manifest "$out/Bin/test/manifest.json" --output_dir "$out/output" --json \
    > "$out/offline.json"

photo=portrait0_0004
mmnet predict "$out/portraits/test/image/$photo.jpg" --checkpoint_path "$out/run" --output "$out/predicted" --background white
python -c '
import json, sys
untrained, trained, offline = [json.load(open(path)) for path in sys.argv[1:4]]
print("\nScores (0..1) on 16 portraits it has not seen  untrained  250 steps  offline (.pb)")
for tag, name in (("MAD", "MAD"), ("GAUSS_GRAD", "gradient error")):
    for shape, at in (("", "128x128"), ("/800_600", "800x600")):
        values = [scores[tag + "/test" + shape] for scores in (untrained, trained, offline)]
        print("  %-45s %9.6f  %9.6f  %13.6f" % ((name + " at " + at,) + tuple(values)))
print("\nThe person cut out: " + sys.argv[4])
same = all(abs(trained[tag] - offline[tag]) < 1e-6 for tag in trained if "/test" in tag)
sys.exit(0 if same and trained["MAD/test"] < untrained["MAD/test"] else "quickstart: the scores are not as they should be")
' "$out/untrained.json" "$out/trained.json" "$out/offline.json" "$out/predicted/${photo}_composition.png"
