#!/bin/sh
# Runs every test; more flags go to pytest. Tests on published checkpoints and real portraits need MMNET_TEST_DATA
# (or ../shared beside the project) and are skipped, and counted, without it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
cd "$root"
# Two files at a time, each with what it shares among its tests; MMNET_TEST_WORKERS=0 is one process.
exec .venv/bin/python -m pytest -q -rs -p no:cacheprovider -n "${MMNET_TEST_WORKERS:-2}" --dist loadgroup tests "$@"
