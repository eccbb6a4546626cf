#!/bin/sh
echo "kubernetes.sh was removed in 0.3: edit scripts/cluster/kubernetes.yaml, then run kubectl apply -f kubernetes.yaml" >&2
exit 2
