#!/bin/sh
# Train mmnet-fast: sh configs/recipes/mmnet-fast.sh PORTRAITS PERSONS BACKGROUNDS FOLDER (common.sh explains them)
# FOLDER is the folder of a finished mmnet-persons.sh, because the training starts from its mean_3.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/configs/recipes/common.sh"
train fast mean_3 4000 --config mmnet_fast --dataset_weights 1 1.5 --backgrounds_path "$backgrounds"
scaled mmnet-fast fast --use_ema --size 160
