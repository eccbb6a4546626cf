#!/bin/sh
#SBATCH --job-name=mmnet-predict
#SBATCH --array=0-7
# Cut out many photos with a Slurm array. Each task processes one part. If it is started again, it continues:
#   sbatch --array 0-31 scripts/cluster/slurm_predict.sh PHOTOS OUTPUT [flags of mmnet predict]
set -eu
[ $# -ge 2 ] || { echo "usage: sbatch slurm_predict.sh PHOTOS OUTPUT [flags of mmnet predict]" >&2; exit 2; }
[ -n "$1" ] && [ -n "$2" ] || { echo "slurm_predict: PHOTOS or OUTPUT is empty" >&2; exit 2; }
photos=$1 output=$2
shift 2
mmnet=${MMNET:-${SLURM_SUBMIT_DIR:-.}/.venv/bin/mmnet}
exec "$mmnet" predict "$photos" --output "$output" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --resume "$@"
