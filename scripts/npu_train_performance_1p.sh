#!/bin/sh
# Measure the training speed: run npu_train_full_1p.sh, with the same options and output, for 500 steps in another folder.
# The accuracy after so few steps is low.
exec sh "$(dirname "$0")/npu_train_full_1p.sh" --train_steps=500 --output_path=npu_performance_1p "$@"
