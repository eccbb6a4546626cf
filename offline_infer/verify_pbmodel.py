"""Run the frozen graph on a CPU, as a stand-in for msame.

    python offline_infer/verify_pbmodel.py --model offline_infer/mmnet.pb \\
        --input Bin/test/images --output output

The command line, result folders, names and messages are those of msame:
- ``--input`` is a folder or a .bin file. Every file in a folder is run, in bytewise order. Without
  ``--input``, zeros are run, ``--loop`` times.
- Results are ``OUTPUT/<timestamp>/<stem>_output_0.bin``, or .txt with 6 significant digits.
- OUTPUT is made one level deep.
- Every message goes to stdout.
- The exit code is 0 after wrong usage or without the named input. It is 1 if something cannot be
  loaded or read.
- A sample of the wrong size in a folder is passed over.

A .bin of uint8 is taken as AIPP takes it: it is made float, and divided by 255 if the graph was
frozen without the division.
"""

import argparse
import datetime
import os
import sys
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)  # so the script runs from any folder, with the project installed or not

from mmnet.io.files import read_bytes, read_json, write_bytes, write_text  # noqa: E402
from mmnet.io.images import to_01  # noqa: E402


def main(argv=None):
    flags = _parse(argv)
    files = _input_files(flags.input)
    if files is None:
        return 0
    # This imports TensorFlow, so it waits until the command line is known to be good.
    from mmnet.inference.tensorflow import open_frozen

    of_folder = bool(files) and os.path.isdir(flags.input)
    try:
        model = open_frozen(flags.model)
        if of_folder:
            _need_same_preprocess(flags.input, model, flags.model)
    except (OSError, ValueError) as error:
        return _fail("load model from file failed: %s" % error)
    print("[INFO] load model %s success" % flags.model)
    try:
        folder = _make_folder(flags.output)
    except OSError as error:
        return _fail("cannot make the output folder (%s); it is made one level deep only" % error)
    try:
        times = _run(model, files or [None] * flags.loop, folder, flags, of_folder)
    except OSError as error:
        return _fail("cannot write a result: %s" % error)
    if not times:
        return _fail("no sample was run")
    print(
        ("Inference average time : %.2f ms" if of_folder else "Inference average time: %.6f ms")
        % np.mean(times)
    )
    if len(times) > 1:
        print("Inference average time without first time: %.2f ms" % np.mean(times[1:]))
    print(
        "[INFO] latency of %d samples on the CPU: median %.2f ms, 90th percentile %.2f ms"
        % (len(times), np.median(times), np.percentile(times, 90))
    )
    print("[INFO] results in %s" % folder)
    print("[INFO] pid: %d Execute sample success" % os.getpid())
    return 0


def _make_folder(output):
    """Make a new folder ``<output>/<timestamp>``.

    The timestamp is that of later versions of msame: it has microseconds, and no leading zeros in
    the other numbers.
    """
    if not os.path.isdir(output):
        os.mkdir(output)
    now = datetime.datetime.now()
    folder = os.path.join(
        output,
        "%d%d%d_%d_%d_%d_%06d"
        % (now.year, now.month, now.day, now.hour, now.minute, now.second, now.microsecond),
    )
    os.mkdir(folder)
    return folder


def _run(model, files, folder, flags, skip):
    """Run the samples. With ``skip``, samples that cannot be read are passed over.

    Returns:
        The milliseconds of each sample; [] if one cannot be read and ``skip`` is false.
    """
    times = []
    for path in files:
        try:
            if path is None:
                sample = np.zeros(input_shape(model), np.float32)
            else:
                sample = _read(path, model)
        except (OSError, ValueError) as error:
            _fail(error)
            if skip:
                continue
            return []
        start = time.perf_counter()
        output = model.run(sample)
        times.append((time.perf_counter() - start) * 1e3)
        print("Inference time: %.3fms" % times[-1])
        stem = os.path.basename(flags.model if path is None else path).rpartition(".")[0]
        name = os.path.join(folder, stem + "_output_0")
        if flags.outfmt == "BIN":
            write_bytes(name + ".bin", output.tobytes())
        else:
            write_text(name + ".txt", " ".join("%.6g" % value for value in output.ravel()) + "\n")
    return times


def input_shape(model):
    """[1,H,W,C] of the pictures that a model takes."""
    return (1,) + model.network.shape + (model.network.channels,)


def _read(path, model):
    """Read a sample as the graph takes it: float32 [1,H,W,3]."""
    data = read_bytes(path)
    values = int(np.prod(input_shape(model)))
    if len(data) == 4 * values:
        sample = np.frombuffer(data, np.float32)
    elif len(data) == values:
        sample = np.frombuffer(data, np.uint8).astype(np.float32)
        if model.card.preprocess == "outside":
            sample = to_01(sample)
    else:
        raise ValueError(
            "%s holds %d bytes; the model takes %d (float32) or %d (uint8, AIPP)"
            % (path, len(data), 4 * values, values)
        )
    return sample.reshape(input_shape(model))


def _need_same_preprocess(folder, model, path):
    """Refuse pictures whose manifest says that they were made for the other ``preprocess``.

    Such pictures would be divided by 255 twice or never, and the alphas would still look plausible.
    """
    manifest_path = os.path.join(os.path.dirname(os.path.abspath(folder)), "manifest.json")
    if not os.path.exists(manifest_path):
        return
    manifest, preprocess = read_json(manifest_path), model.card.preprocess
    if manifest.get("dtype") == "float32" and manifest.get("preprocess") != preprocess:
        raise ValueError(
            "%s divides by 255 %s the graph, the pictures of %s were made for %s: run datapre.py "
            "or freeze again with the other --preprocess"
            % (path, preprocess, manifest_path, manifest.get("preprocess"))
        )


def _input_files(path):
    """List the paths of the samples that ``--input`` names.

    Returns:
        [] if there is no ``--input``; None, after a message, if it names no sample.
    """
    if path is None:
        return []
    if "," in path and not os.path.exists(path):
        _fail("the model has one input, %r names more" % path)
    elif os.path.isdir(path):
        names = sorted(
            (name for name in os.listdir(path) if not name.startswith(".")), key=os.fsencode
        )
        if names:
            return [os.path.join(path, name) for name in names]
        _fail("no file in %s" % path)
    elif os.path.isfile(path):
        return [path]
    else:
        _fail("invalid input path %s: neither a .bin file nor a folder of them" % path)
    return None


def _parse(argv):
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="frozen graph, as mmnet freeze writes it")
    parser.add_argument("--input", help="folder of .bin files, or one of them")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--outfmt", choices=("BIN", "TXT"), default="BIN")
    parser.add_argument(
        "--loop",
        type=int,
        choices=range(1, 101),
        default=1,
        metavar="1..100",
        help="runs without input",
    )
    parser.add_argument("--device", help="taken and not used")
    parser.add_argument("--debug", help="taken and not used")
    parser.error = lambda message: (_fail(message), sys.exit(0))
    return parser.parse_args(argv)


def _fail(message):
    print("[ERROR] %s" % message, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
