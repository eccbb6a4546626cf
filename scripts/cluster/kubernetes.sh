#!/bin/sh
# Print a Kubernetes job that trains on HOSTS pods with GPUS each (0: one process a pod, on its processors):
#   sh scripts/cluster/kubernetes.sh NAME IMAGE HOSTS GPUS CLAIM DATASET TRAIN_DIR [flags of mmnet train] | kubectl apply -f -
# CLAIM is a persistent volume claim that all pods may write to; it is mounted at /data, below which DATASET and TRAIN_DIR lie.
# The pods find each other by name, through a service without an address of its own.
set -eu
[ $# -ge 7 ] || {
    echo "usage: sh kubernetes.sh NAME IMAGE HOSTS GPUS CLAIM DATASET TRAIN_DIR [flags of mmnet train]" >&2
    exit 2
}
name=$1 image=$2 hosts=$3 gpus=$4 claim=$5 dataset=$6 train_dir=$7
shift 7
case $hosts$gpus in *[!0-9]*) echo "kubernetes.sh: HOSTS and GPUS are numbers, not $hosts and $gpus" >&2; exit 2 ;; esac
processes=$gpus
[ "$gpus" -gt 0 ] || processes=1
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
line() { printf '            - %s\n' "$(quoted "$1")"; }
cat << END
apiVersion: v1
kind: Service
metadata:
  name: $(quoted "$name")
spec:
  clusterIP: None
  selector:
    job-name: $(quoted "$name")
---
apiVersion: batch/v1
kind: Job
metadata:
  name: $(quoted "$name")
spec:
  completionMode: Indexed
  completions: $hosts
  parallelism: $hosts
  backoffLimit: 6
  template:
    spec:
      subdomain: $(quoted "$name")
      restartPolicy: OnFailure
      terminationGracePeriodSeconds: 60
      containers:
        - name: mmnet
          image: $(quoted "$image")
          args:
END
line launch
line --hosts
host=0
while [ "$host" -lt "$hosts" ]; do
    line "$name-$host.$name"
    host=$((host + 1))
done
for word in --processes "$processes" --restarts 3 -- \
    train --dataset_path "/data/$dataset" --train_dir "/data/$train_dir" "$@"; do
    line "$word"
done
[ "$gpus" -eq 0 ] || cat << END
          resources:
            limits:
              nvidia.com/gpu: $gpus
END
cat << END
          volumeMounts:
            - name: data
              mountPath: /data
      volumes:
        - name: data
          persistentVolumeClaim:
            claimName: $(quoted "$claim")
END
