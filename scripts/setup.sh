#!/bin/sh
# Create .venv with everything that mmnet needs, or update it. The script does nothing if nothing has changed since its last run.
# --light: create .venv-light, which cuts out, scores and measures speed without TensorFlow.
# --with video,demo: also install these extras, which are the files in requirements/. .venv has video, demo, heif and export.
# --gpu: install TensorFlow for NVIDIA GPUs with the CUDA libraries (2.x; TensorFlow 1.15 needs CUDA 10.0 on the host).
# PYTHON=/path/to/python selects the interpreter. The default is the newest Python with TensorFlow 2.x, or Python 3.7 with
# TensorFlow 1.15 if only that is installed. An update keeps the Python of the environment and the packages that you added.
set -eu
cd -P "$(dirname "$0")/.."
stop() { echo "setup: $*" >&2; exit 2; }
usage() { echo "usage: sh scripts/setup.sh [--light | --gpu] [--with video,demo,...]" >&2; exit 2; }
venv=.venv extras="train video demo heif export" gpu='' with=''
while [ $# -gt 0 ]; do
    case $1 in
        --light) venv=.venv-light extras='' ;;
        --gpu) gpu=gpu ;;
        --with) [ $# -gt 1 ] || usage; with="$with $(echo "$2" | tr , ' ')"; shift ;;
        *) usage ;;
    esac
    shift
done
[ $venv = .venv ] || [ -z "$gpu" ] || usage
for extra in $with; do
    [ -f "requirements/$extra.txt" ] || stop "--with $extra: choose from $(cd requirements && echo *.txt | sed 's/\.txt//g')"
done

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
python=${PYTHON:-} found=''
if [ -n "$python" ]; then
    found=$(version_of "$python") || { # PYTHON=python3.13 may be the shim of a version manager
        name=${python##*/}
        python=$(sh scripts/find_python.sh "${name#python}") && found=$(version_of "$python") ||
            stop "PYTHON=$PYTHON does not run"
    }
fi
current=$(version_of $venv/bin/python) || current=''
stamp=$venv/mmnet-extras # line 1: what the environment was made of, line 2: its extras
made_of="$(cat requirements*.txt requirements/*.txt setup.py pyproject.toml | cksum) in $PWD"
installed=$(sed -n 2p "$stamp" 2>/dev/null) || installed=''
new=''
for extra in $extras $with $gpu; do
    case " $installed $new " in *" $extra "*) ;; *) new="$new $extra" ;; esac
done
if [ -z "$new" ] && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$made_of" ] &&
    [ -n "$current" ] && [ "${found:-$current}" = "$current" ]; then
    exit 0
fi

# The programs of an environment contain its path, so a copied or moved environment is created again.
grep -qsF "$PWD/$venv" $venv/bin/activate || current=''
if [ -z "$found" ] && [ -n "$current" ]; then
    found=$current
elif [ -z "$found" ]; then
    versions="3.13 3.12 3.11 3.10 3.7"
    # TensorFlow 1.15 exists for x86_64 only.
    [ $venv = .venv-light ] || [ "$(uname -m)" = x86_64 ] || versions="3.13 3.12 3.11 3.10"
    for version in $versions; do
        python=$(sh scripts/find_python.sh "$version") && found=$version && break
    done
    [ -n "$found" ] || stop "no Python 3.10-3.13 or 3.7 found; set PYTHON=/path/to/python"
fi
case $found in
    3.7) tensorflow="TensorFlow 1.15" size="900 MB" light_size="300 MB" ;;
    3.1[0-3]) tensorflow="TensorFlow 2.x" size="2.7 GB" light_size="340 MB" ;;
    *) stop "${python:-$venv/bin/python} is Python $found; mmnet runs on 3.7 and 3.10-3.13" ;;
esac
[ $venv = .venv ] || tensorflow="no TensorFlow" size=$light_size
[ -z "$gpu" ] || size="$size and the CUDA libraries"
if [ "$current" = "$found" ]; then
    echo "setup: update $venv with Python $found and $tensorflow" >&2
else
    echo "setup: create $venv with Python $found and $tensorflow (about $size)" >&2
    rm -f "$stamp"
    "$python" -m venv --clear $venv
fi
# The extras survive an update that fails, for example without a network.
printf 'incomplete\n%s\n' "$(echo $installed $new)" > "$stamp"
install() { $venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check "$@" >&2; }
install 'pip>=21.3' # the first one that installs a clone without setup.py
names=$(echo $installed $new | tr ' ' '\n' | grep -vx -e gpu -e horovod | paste -s -d , -)
install -e ".${names:+[$names]}"
case " $installed $new " in *" gpu "*)
    if [ "$found" = 3.7 ]; then
        install --force-reinstall --no-deps tensorflow-gpu==1.15.5
    else
        version=$($venv/bin/python -c 'from importlib.metadata import version; print(version("tensorflow"))')
        install "tensorflow[and-cuda]==$version"
    fi ;;
esac
case " $installed $new " in *" horovod "*) # built for the TensorFlow that is installed
    export HOROVOD_WITH_TENSORFLOW=1
    install setuptools wheel
    install --no-build-isolation -r requirements/horovod.txt ;;
esac
printf '%s\n%s\n' "$made_of" "$(echo $installed $new)" > "$stamp"
echo "setup: $venv is complete ($(du -sh $venv | cut -f 1)). Next: $venv/bin/mmnet predict figure/astronaut.jpg --output cutout.png" >&2
