#!/bin/sh
# Create .venv with everything that mmnet needs. The script does nothing if nothing has changed since the last run.
# --light: create .venv-light, which cuts out and scores without TensorFlow.
# --gpu: install TensorFlow for NVIDIA GPUs with the CUDA libraries (2.x; TensorFlow 1.15 needs CUDA 10.0 on the host).
# PYTHON=/path/to/python selects the interpreter. The default is Python 3.7 with TensorFlow 1.15 if it is installed,
# else the newest Python with TensorFlow 2.x. The default for --light is the newest Python.
set -eu
cd "$(dirname "$0")/.."
venv=.venv requirements=requirements.txt gpu=
case ${1:-} in
    "") ;;
    --gpu) gpu=yes ;;
    --light) venv=.venv-light requirements=requirements-light.txt ;;
    *) echo "usage: sh scripts/setup.sh [--light | --gpu]" >&2; exit 2 ;;
esac
made_of="$(cat "$requirements" setup.py pyproject.toml | cksum) in $PWD"
stamp=$venv/mmnet-setup
if [ -z "$gpu" ] && [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$made_of" ] &&
    { [ -z "${PYTHON:-}" ] || [ "$(tail -n 1 "$stamp")" = "$PYTHON" ]; }; then
    exit 0
fi

python=${PYTHON:-}
if [ -z "$python" ]; then
    versions="3.7 3.13 3.12 3.11 3.10"
    [ "$(uname -m)" = x86_64 ] || versions="3.13 3.12 3.11 3.10" # TensorFlow 1.15 exists for x86_64 only
    [ $venv = .venv ] || versions="3.13 3.12 3.11 3.10 3.7"
    for version in $versions; do
        python=$(sh scripts/find_python.sh "$version") && break
    done
    [ -n "$python" ] || { echo "setup: no Python 3.7 or 3.10-3.13 found; set PYTHON=/path/to/python" >&2; exit 2; }
fi
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
found=$(version_of "$python") || { # PYTHON=python3.13 may be the shim of a version manager
    name=${python##*/}
    python=$(sh scripts/find_python.sh "${name#python}") && found=$(version_of "$python") ||
        { echo "setup: PYTHON=${PYTHON:-} does not run" >&2; exit 2; }
}
case $found in
    3.7) tensorflow="TensorFlow 1.15" ;;
    3.1[0-3]) tensorflow="TensorFlow 2.x" ;;
    *) echo "setup: $python is Python $found; mmnet runs on 3.7 and 3.10-3.13" >&2; exit 2 ;;
esac
[ $venv = .venv ] || tensorflow="no TensorFlow"
echo "setup: create $venv with Python $found and $tensorflow (about one minute)" >&2
rm -f "$stamp"
"$python" -m venv --clear $venv
install() { $venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check "$@" >&2; }
if [ $venv = .venv ]; then
    install --use-pep517 -e '.[dev,export]'
    case $gpu$found in
        yes3.7) install --force-reinstall --no-deps tensorflow-gpu==1.15.5 ;;
        yes*)
            version=$($venv/bin/python -c 'from importlib.metadata import version; print(version("tensorflow"))')
            install "tensorflow[and-cuda]==$version"
            ;;
    esac
else
    install -r "$requirements"
    install --use-pep517 --no-deps -e .
fi
printf '%s\n%s\n' "$made_of" "${PYTHON:-$python}" > "$stamp"
