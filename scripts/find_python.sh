#!/bin/sh
# Print the path of a working Python of a version (3.7, 3.13, ...). The exit code is 1 if there is none.
# Every candidate is run, because the shims of version managers are on PATH even if the version is not installed.
set -eu
version=$1
for python in "python$version" \
    "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python"$version" \
    "$HOME"/*conda*/envs/*/bin/python"$version" /opt/*conda*/envs/*/bin/python"$version" \
    /usr/local/bin/python"$version" /opt/python"$version"/bin/python"$version"; do
    if "$python" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
        command -v "$python"
        exit 0
    fi
done
exit 1
