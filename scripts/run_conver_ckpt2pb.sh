#!/bin/sh
# The published spelling of run_convert_ckpt2pb.sh.
exec sh "$(dirname "$0")/run_convert_ckpt2pb.sh" "$@"
