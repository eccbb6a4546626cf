#!/bin/sh
# A short run for its speed: scripts/npu_train_full_1p.sh, its options and the lines that it prints, with 500 steps and a
# folder of its own. Its accuracy is that of a network that has only begun to learn.
exec sh "$(dirname "$0")/npu_train_full_1p.sh" --train_steps=500 --output_path=npu_performance_1p "$@"
