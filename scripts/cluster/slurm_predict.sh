#!/bin/sh
#SBATCH --job-name=mmnet-predict
#SBATCH --array=0-7
# Cut out very many photos with a Slurm array, each of its tasks one part; started again, it goes on with what is missing:
#   sbatch --array 0-31 scripts/cluster/slurm_predict.sh PHOTOS OUTPUT [flags of mmnet predict]
set -eu
[ $# -ge 2 ] || { echo "usage: sbatch slurm_predict.sh PHOTOS OUTPUT [flags of mmnet predict]" >&2; exit 2; }
photos=$1 output=$2
shift 2
mmnet=${MMNET:-${SLURM_SUBMIT_DIR:-.}/.venv/bin/mmnet}
exec "$mmnet" predict "$photos" --output "$output" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --resume "$@"
