#!/bin/sh
# Feeds damaged input of every kind to the readers for SECONDS; what breaks one is kept in fuzz_findings/.
set -eu
[ $# -eq 1 ] || { echo "usage: sh scripts/fuzz.sh SECONDS" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/tests/helpers/fuzz.py" "$1" "$root/fuzz_findings"
