#!/bin/sh
# Show the main job within three minutes, after the set-up: cut out a person, then train, stop, resume, score, freeze and
# score offline on synthetic portraits. All results are in quickstart/.
set -eu
[ $# -eq 0 ] || { echo "usage: sh scripts/quickstart.sh" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
cd "$root"
rm -rf quickstart
python() { .venv/bin/python "$@"; }
mmnet() { python -m mmnet "$@"; }
explain() { printf '\n== %s\n' "$1"; }
train() {
    mmnet train --dataset_path quickstart/portraits --train_dir quickstart/run --width_multiplier 0.5 --size 128 \
        --batch_size 8 --learning_rate 2e-3 --step_save_summaries 50 --max_step_from_restore "$1"
}
evaluate() {
    mmnet evaluate --dataset_path quickstart/portraits --output quickstart/run --json "$@"
}

explain "1. Cut out the person of a public-domain photo with the bundled weights."
mmnet predict figure/astronaut.jpg --output quickstart/photo --background blur
echo "Look at quickstart/photo/astronaut_cutout.png and astronaut_composition.png."

explain "2. Draw synthetic portraits with their alphas: 64 for training and 16 for the test."
mmnet synthesize --output quickstart/portraits --dataset_split_name train --pictures 64 --seed 1 --shape 400 300
mmnet synthesize --output quickstart/portraits --pictures 16 --shape 400 300
echo "Look at quickstart/portraits/train/image and mask."

explain "3. Train a small network, and stop after 100 steps."
train 100
explain "4. Run the same command again: the training resumes at step 100."
train 200
echo "Look at quickstart/run: checkpoints, config.yaml, and events for TensorBoard."

explain "5. Score random weights and the trained network on the test portraits."
evaluate --checkpoint_path untrained --width_multiplier 0.5 --size 128 > quickstart/untrained.json
evaluate --checkpoint_path quickstart/run > quickstart/trained.json
echo "Look at quickstart/trained.json."

explain "6. Freeze the network into one graph, as atc (Ascend) reads it."
mmnet freeze --checkpoint_path quickstart/run --output quickstart/mmnet.pb --dataset_path quickstart/portraits \
    > quickstart/freeze.txt
echo "Look at quickstart/mmnet.pb and freeze.txt: input, output, operations, difference from the checkpoint."

explain "7. Score the frozen graph offline, with a replacement for the Ascend chip."
python offline_infer/datapre.py --dataset_path quickstart/portraits --output quickstart/Bin --size 128
python offline_infer/verify_pbmodel.py --model quickstart/mmnet.pb --input quickstart/Bin/test/images \
    --output quickstart/output | tail -n 4
python offline_infer/evaluate.py --manifest quickstart/Bin/test/manifest.json --output_dir quickstart/output --json \
    > quickstart/offline.json
echo "Look at quickstart/output (results of the graph) and offline.json (their scores)."

explain "8. Cut out a test portrait with the network of this training."
photo=portrait0_0004
mmnet predict quickstart/portraits/test/image/$photo.jpg --checkpoint_path quickstart/run --output quickstart/predicted \
    --background white
echo "Look at quickstart/predicted/${photo}_composition.png."

explain "9. Compare the scores: training must help, and offline and online scores must agree."
python - <<'END'
import json, sys

untrained, trained, offline = [
    json.load(open("quickstart/%s.json" % name)) for name in ("untrained", "trained", "offline")
]
print("On 16 test portraits                         untrained  200 steps  offline (.pb)")
rows = (
    ("MAD at 128x128 (0..1, lower is better)", "MAD/test"),
    ("MAD at 800x600 (0..1, lower is better)", "MAD/test/800_600"),
)
for name, tag in rows:
    print("  %-42s %9.6f  %9.6f  %13.6f" % (name, untrained[tag], trained[tag], offline[tag]))
print("The edges are soft after 200 steps on 64 drawings; the bundled weights were trained on photos.")
same = all(abs(trained[tag] - offline[tag]) < 1e-6 for tag in offline if "/test" in tag)
learned = trained["MAD/test"] < untrained["MAD/test"]
sys.exit(0 if same and learned else "quickstart: the scores are wrong, see quickstart/*.json")
END
echo "Next: cut out your own photo with .venv/bin/mmnet predict PHOTO --output cutout.png, or read README.md."
