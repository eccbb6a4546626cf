"""Fixtures of all tests, and the settings of pytest."""

import json
import os
import shutil
import subprocess
from functools import lru_cache

import pytest

from helpers import ROOT, SMALL, TEST_DATA, assert_message
from mmnet.cli import main
from mmnet.io.checkpoint_files import files_of
from mmnet.networks.network import Network

# One thread per process, because several test processes share the processor.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.fixture(scope="session")
def test_data():
    """Folder with published checkpoints, golden values and real portraits."""
    if not os.path.isdir(os.path.join(TEST_DATA, "golden")):
        pytest.skip("no published checkpoints: set MMNET_TEST_DATA or put them into ../shared")
    return TEST_DATA


@pytest.fixture
def start_process():
    """Function that starts a command in ROOT: command -> Popen. It is killed after the test."""
    processes = []

    def start(command, **options):
        process = subprocess.Popen(command, cwd=ROOT, universal_newlines=True, **options)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def run(capfd):
    """Function that runs a command: arguments -> (exit code, stdout, stderr)."""

    def run(*arguments):
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # --help and --version
            code = stop.code
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def run_json(run):
    """Function that runs a command with --json, which must succeed: arguments -> its objects."""

    def run_json(*arguments):
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return run_json


@pytest.fixture
def assert_refused(run):
    """Function that asserts exit code 2 and one message on stderr with all tokens."""

    def assert_refused(arguments, *tokens):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "Traceback" not in err and len(err) < 1500
        assert_message(err, *tokens)

    return assert_refused


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """Folder of a dataset with six small synthetic portraits. No test may write into it."""
    from mmnet.datasets.synthetic import synthesize

    folder = str(tmp_path_factory.mktemp("path with spaces"))
    synthesize(folder, "test", 6, shape=(200, 150))
    return folder


@pytest.fixture(scope="session")
def portrait_set(portraits):
    """``portraits`` as a Dataset."""
    from mmnet.datasets.pairs import find_dataset

    return find_dataset(portraits, "test")


@pytest.fixture(scope="session")
def write_checkpoints(tmp_path_factory):
    """Function that writes checkpoints of SMALL with tf.train.Saver: steps -> a new folder.

    Each checkpoint has other random weights.
    """
    from mmnet.networks.layers import INFERENCE
    from mmnet.networks.registry import build, input_shape
    from mmnet.tf.compat import tf

    graph = tf.Graph()
    with graph.as_default():
        build(SMALL, tf.placeholder(tf.float32, input_shape(SMALL)), INFERENCE)
        step = tf.get_variable("global_step", [], tf.int64, tf.zeros_initializer(), trainable=False)
        new_step = tf.placeholder(tf.int64, [])
        set_step = step.assign(new_step)
        initializer = tf.global_variables_initializer()
        saver = tf.train.Saver(max_to_keep=None)

    def write(*steps, folder=None):
        folder = folder or str(tmp_path_factory.mktemp("run"))
        with tf.Session(graph=graph) as session:
            for number in steps:
                session.run(initializer)
                session.run(set_step, {new_step: number})
                prefix = os.path.join(folder, "MMNetModel")
                saver.save(session, prefix, global_step=number, write_meta_graph=False)
        return folder

    return write


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    """Random weights of SMALL from a checkpoint. Their alphas differ from pixel to pixel."""
    from helpers.models import write_random_checkpoint

    return write_random_checkpoint(str(tmp_path_factory.mktemp("small run")))


@pytest.fixture(scope="session")
def mmnet_weights(tmp_path_factory):
    """Random weights of MMNet with width multiplier 0.25 at 64x64 from a checkpoint."""
    from helpers.models import write_random_checkpoint

    network = Network("mmnet", width_multiplier=0.25, shape=(64, 64))
    return write_random_checkpoint(str(tmp_path_factory.mktemp("mmnet run")), network)


@pytest.fixture(scope="session")
def run_folder(small_weights, tmp_path_factory):
    """Folder with the checkpoint of small_weights and a config.yaml. No test may write into it."""
    folder = tmp_path_factory.mktemp("run with config")
    for path in files_of(small_weights.source):
        shutil.copy(path, str(folder))
    (folder / "config.yaml").write_text("network: tiny\nsize: 64\n")
    return str(folder)


@pytest.fixture(scope="session")
def small_images():
    """Four synthetic portraits, the input of SMALL: float32 [4,64,64,3], 0..255."""
    from mmnet.export.comparison import comparison_images

    return comparison_images(None, SMALL)


@pytest.fixture(scope="session")
def small_predictor(small_weights, small_images):
    """CheckpointPredictor with small_weights. No test may load other weights into it."""
    from mmnet.export.comparison import EXACT
    from mmnet.inference.checkpoints import open_weights

    predictor = open_weights(small_weights, EXACT)
    assert predictor(small_images).std() > 0.015
    return predictor


@pytest.fixture(scope="session")
def graph_of(small_weights):
    """Function that builds graphs of small_weights: preprocess, output_type -> GraphDef."""
    from mmnet.networks.inference_graph import inference_graph
    from mmnet.tf.compat import tf

    @lru_cache(maxsize=None)
    def build(preprocess, output_type):
        values = small_weights.values
        return inference_graph(SMALL, values, preprocess=preprocess, output_type=output_type)

    def graph_of(preprocess="inside", output_type="probabilities"):
        graph_def = tf.GraphDef()  # a copy, because importing a graph changes it
        graph_def.CopyFrom(build(preprocess, output_type))
        return graph_def

    return graph_of


@pytest.fixture(scope="session")
def exported_models(small_weights, tmp_path_factory):
    """ExportedModels of small_weights."""
    from helpers.models import ExportedModels

    return ExportedModels(small_weights, str(tmp_path_factory.mktemp("models")))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """Let one process of pytest-xdist run all files that use ``exported_models``.

    Each model is then exported once.
    """
    modules = {item.module for item in items if "exported_models" in item.fixturenames}
    for item in items:
        name = "exported_models" if item.module in modules else item.module.__name__
        item.add_marker(pytest.mark.xdist_group(name))


def pytest_terminal_summary(terminalreporter):
    """Print the counts in the form that .ci/run reads."""

    def count(outcome):
        return len(terminalreporter.stats.get(outcome, []))

    failed = count("failed") + count("error")
    terminalreporter.write_line(
        f"{count('passed')} passed, {failed} failed, {count('skipped')} skipped"
    )


@pytest.fixture(scope="module")
def browser(portrait_set, tmp_path_factory):
    """Chromium with a fake camera that shows a portrait."""
    import cv2

    from mmnet.matting.load import load_photo

    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    portrait = load_photo(portrait_set.pairs[0].image).image
    clip = tmp_path_factory.mktemp("camera") / "portrait.y4m"
    planes = cv2.cvtColor(cv2.resize(portrait, (160, 120)), cv2.COLOR_RGB2YUV_I420).tobytes()
    clip.write_bytes(b"YUV4MPEG2 W160 H120 F10:1 Ip A1:1 C420jpeg\n")
    with clip.open("ab") as file:
        file.write((b"FRAME\n" + planes) * 10)
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
    flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    flags += [f"--use-file-for-fake-video-capture={clip}"]
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()
