#!/bin/sh
# Prints the path of a working Python of the version given (3.7, 3.13, ...); exit 1 where there is none.
# Candidates are proved by running them: a version manager's shims are on PATH even when nothing is behind them.
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
