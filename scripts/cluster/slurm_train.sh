#!/bin/sh
#SBATCH --job-name=mmnet
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:TERM@60
# Train on the nodes of a Slurm job, one process a GPU (or PROCESSES a node):
#   sbatch --nodes 2 --gpus-per-node 4 scripts/cluster/slurm_train.sh DATASET TRAIN_DIR [flags of mmnet train]
# DATASET and TRAIN_DIR lie on storage that all nodes see. A minute before its time is over the job saves and stops; the same
# command goes on.
set -eu
[ $# -ge 2 ] || { echo "usage: sbatch slurm_train.sh DATASET TRAIN_DIR [flags of mmnet train]" >&2; exit 2; }
dataset=$1 train_dir=$2
shift 2
mmnet=${MMNET:-${SLURM_SUBMIT_DIR:-.}/.venv/bin/mmnet}
srun "$mmnet" launch --processes "${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}" --restarts 3 -- \
    train --dataset_path "$dataset" --train_dir "$train_dir" "$@" &
child=$!
trap 'kill -TERM $child' TERM INT
status=0
wait $child || status=$?
while kill -0 $child 2>/dev/null; do # the signal ended the waiting, not the training
    status=0
    wait $child || status=$?
done
exit $status
