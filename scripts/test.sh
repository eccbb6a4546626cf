#!/bin/sh
# Run all tests. Arguments are passed to pytest. Tests with published checkpoints and real portraits need MMNET_TEST_DATA
# (or ../shared beside the project). They are skipped and counted without it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh" --with dev
cd "$root"
# Two workers; each test file runs in one of them, with its fixtures. MMNET_TEST_WORKERS=0 uses one process.
exec .venv/bin/python -m pytest -q -rs -p no:cacheprovider -n "${MMNET_TEST_WORKERS:-2}" --dist loadgroup tests "$@"
