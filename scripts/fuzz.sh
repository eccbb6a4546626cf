#!/bin/sh
# Fuzz all readers of files for SECONDS. Inputs that break a reader are written to fuzz_findings/.
set -eu
[ $# -eq 1 ] || { echo "usage: sh scripts/fuzz.sh SECONDS" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh" --with dev
exec "$root/.venv/bin/python" "$root/tests/helpers/fuzz.py" "$1" "$root/fuzz_findings"
