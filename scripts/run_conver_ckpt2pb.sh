#!/bin/sh
# Same as run_convert_ckpt2pb.sh, with the published spelling.
exec sh "$(dirname "$0")/run_convert_ckpt2pb.sh" "$@"
