"""Tests that the commands in the README of 0.2 work, or that the error names the replacement."""

import os
import shlex

import pytest

from helpers import assert_raises
from mmnet.cli import find_command, parse_options
from mmnet.io.errors import MmnetError

# Paths of the README -> paths below the fixture's folder.
PATHS = ("DATASET", "PERSONS", "CKPT", "run1", "run2", "PHOTOS", "ROOMS", "photo.jpg", "clip.mp4")

WORKING = """\
predict PHOTOS --output cutouts
predict PHOTOS --output cutouts --background blur
predict PHOTOS --output cutouts --write composition --background "#00ff00"
predict photo.jpg --output cutout.png
predict - --output -
predict clip.mp4 --output clip.webm
predict clip.mp4 --output clip_out.mp4 --background photo.jpg
predict PHOTOS --output cutouts --no_second_look --no_refinement --no_foreground_colours
predict photos.txt --output cutouts --shard 0/8 --resume --tar 1000
evaluate --dataset_path DATASET --output SCORES --shard 0/8
evaluate --dataset_path DATASET --output SCORES --merge_shards 8
evaluate --dataset_path DATASET PERSONS --model CKPT --as_photos --all_metrics
evaluate --dataset_path DATASET --checkpoint_path CKPT --temperature 2
evaluate --dataset_path DATASET --compare CKPT --report page.html --target_eval_shape 800 600
evaluate --dataset_path DATASET --as_clips --checkpoint_path CKPT --temporal_filter motion
evaluate --dataset_path DATASET --checkpoint_path CKPT --config mmnet_dm0.5_256
evaluate --dataset_path DATASET --checkpoint_path CKPT --shape 288 480 --width_multiplier 0.5
evaluate --dataset_path DATASET --checkpoint_path CKPT --valid_type loop
demo
demo --host 0.0.0.0 --port 7861 --upload_limit 20MB
doctor
completion bash
weights list
weights get mmnet-1898000
weights average CKPT CKPT --use_ema --dataset_path DATASET --output MEAN/MMNetModel-1
weights convert modnet.ckpt --network modnet --output modnet/MMNetModel-0
temperature --checkpoint_path CKPT --dataset_path DATASET --output sharp/MMNetModel-1898000
selfcheck --checkpoint_path CKPT --dataset_path DATASET
data convert --from aisegment DOWNLOADED aisegment --split_ratio 0.1
data check DATASET PERSONS --report sheet.html
data split DATASET TARGET
synthesize --dataset_path made --pictures 3000 --looks varied --backgrounds_path ROOMS
synthesize --dataset_path clips --pictures 8 --frames 25
train --dataset_path DATASET --train_dir RUN --max_step_from_restore 20000
train --dataset_path DATASET --train_dir RUN --max_epoch_from_restore 100 --use_ema
train --config incremental_2 --dataset_path DATASET PERSONS --train_dir RUN --checkpoint_path run1
train --dataset_path DATASET --train_dir RUN --checkpoint_path run1 --ignore_missing_vars
train --dataset_path DATASET --train_dir RUN --checkpoint_path run1 --reset_optimizer
train --dataset_path DATASET --train_dir RUN --checkpoint_path run1 --checkpoint_include_scopes A
train --dataset_path DATASET --train_dir RUN --checkpoint_path run1 --checkpoint_exclude_scopes A
train --dataset_path DATASET --train_dir RUN --augmentation_method wide --backgrounds_path ROOMS
train --dataset_path DATASET --train_dir RUN --swapped_backgrounds .3 --augmentation_strength .3
train --dataset_path DATASET --train_dir RUN --lambda_alpha_loss 3 --cache_budget 2GB
train --config deeplab_os16_dm0.5_256 --dataset_path DATASET --train_dir RUN
train --network deeplab --checkpoint_path run1 --ignore_missing_vars --dataset_path DATASET \
--train_dir RUN
train --channels 4 --checkpoint_path CKPT --dataset_path DATASET --train_dir RUN
train --config quantize --dataset_path DATASET --train_dir RUN --checkpoint_path CKPT
train --dataset_path DATASET --train_dir RUN --precision mixed_float16
train --dataset_path DATASET --train_dir RUN --width_multiplier 0.5 --teacher CKPT
train --dataset_path DATASET --train_dir RUN --sync_batch_norm --warm_up_steps 100
train --device npu --precision_mode allow_mix_precision --dataset_path DATASET --train_dir RUN
launch --processes 2 -- train --dataset_path DATASET --train_dir RUN
launch --hosts node1 node2 --processes 4 --restarts 2 -- train --dataset_path DATASET \
--train_dir RUN
freeze --checkpoint_path CKPT --output mmnet.pb
freeze --checkpoint_path CKPT --output mmnet.pb --fold_batch_norm --preprocess outside
freeze --checkpoint_path CKPT --output mmnet.pb --output_type alpha --use_ema
export --checkpoint_path CKPT --format tflite onnx savedmodel --output exported
export --checkpoint_path CKPT --format tflite --precision int8 --calibration_dataset DATASET \
--output exported --io uint8 --calibration_method entropy
export --format web --output exported
parity --checkpoint_path CKPT --dataset_path DATASET mmnet_int8.tflite mmnet.onnx mmnet.pb
benchmark CKPT --threads 1,2
benchmark CKPT --batch 1,8 --json
info CKPT
"""
REPLACED = {
    "benchmark CKPT --adb benchmark_model": "docs/android.md",
    "benchmark --train --dataset_path DATASET": "benchmarks/training.py",
    "benchmark --input --dataset_path DATASET": "benchmarks/training.py",
    "data pack DATASET packed": "image",
    "data convert --from labels DATASET target --ids 1,2": "pairs",
    "train --dataset_path DATASET --train_dir RUN --layout NCHW": "layout",
    "train --train_dir RUN --lambda_teacher_loss 7": "--loss_weights teacher",
    "train --train_dir RUN --teacher CKPT --pictures_path PHOTOS": "--dataset_path",
    "train --train_dir RUN --teacher CKPT --teacher_temperature 2": "--loss_parameters",
    "train --train_dir RUN --adapt --checkpoint_path run1": "--mode adapt",
    "train --train_dir RUN --freeze_batch_norm": "--mode freeze_batch_norm",
    "train --train_dir RUN --engine horovod": "mmnet launch --engine",
    "train --train_dir RUN --peer_timeout 20s": "mmnet launch --peer_timeout",
    "train --train_dir RUN --xla": "TF_XLA_FLAGS",
}


@pytest.fixture(scope="module")
def make_words(tmp_path_factory):
    """Split a command line, with existing paths in place of the names in PATHS."""
    folder = tmp_path_factory.mktemp("readme of 0.2")
    for name in ("DATASET/test/image", "PERSONS/test/image", "PHOTOS", "ROOMS"):
        (folder / name).mkdir(parents=True)
    for name in ("CKPT", "run1", "run2"):
        (folder / name).mkdir()
        (folder / name / "MMNetModel-1.index").write_text("")
    for name in ("photo.jpg", "clip.mp4"):
        (folder / name).write_text("")

    def make_words(line):
        words = shlex.split(line)
        return [os.path.join(str(folder), word) if word in PATHS else word for word in words]

    return make_words


@pytest.mark.parametrize("line", WORKING.replace("\\\n", "").splitlines())
def test_command_of_0_2_is_accepted(make_words, line):
    words = make_words(line)
    assert parse_options(find_command(words[0]), words[1:])


@pytest.mark.parametrize("line, replacement", REPLACED.items(), ids=list(REPLACED))
def test_removed_command_names_its_replacement(make_words, line, replacement):
    words = make_words(line)
    with assert_raises(MmnetError, replacement):
        parse_options(find_command(words[0]), words[1:])
