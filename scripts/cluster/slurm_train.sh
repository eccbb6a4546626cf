#!/bin/sh
#SBATCH --job-name=mmnet
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:TERM@60
# Train on the nodes of a Slurm job with one process per GPU (or PROCESSES per node):
#   sbatch --nodes 2 --gpus-per-node 4 scripts/cluster/slurm_train.sh DATASET TRAIN_DIR [flags of mmnet train]
# All nodes must see DATASET and TRAIN_DIR. The job saves its state and stops one minute before its time limit. The same command
# resumes the training.
set -eu
[ $# -ge 2 ] || { echo "usage: sbatch slurm_train.sh DATASET TRAIN_DIR [flags of mmnet train]" >&2; exit 2; }
[ -n "$1" ] && [ -n "$2" ] || { echo "slurm_train: DATASET or TRAIN_DIR is empty" >&2; exit 2; }
dataset=$1 train_dir=$2
shift 2
mmnet=${MMNET:-${SLURM_SUBMIT_DIR:-.}/.venv/bin/mmnet}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
MMNET_SECRET=${MMNET_SECRET:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')} # srun passes it to all nodes
export MMNET_SECRET
[ -n "$hosts" ] || { echo "slurm_train: SLURM_JOB_NODELIST names no host" >&2; exit 2; }
# shellcheck disable=SC2086 # one word per host
srun "$mmnet" launch --hosts $hosts --processes "${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}" --restarts 3 -- \
    train --dataset_path "$dataset" --train_dir "$train_dir" "$@" &
child=$!
trap 'kill -TERM $child' TERM INT
status=0
wait $child || status=$?
while kill -0 $child 2>/dev/null; do # the signal interrupted `wait`, but the training still saves
    status=0
    wait $child || status=$?
done
exit $status
