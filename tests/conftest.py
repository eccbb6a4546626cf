import os
import shutil
import subprocess
from functools import lru_cache

import pytest

from helpers import ROOT, SMALL, TEST_DATA
from mmnet.io.checkpoint_files import files_of
from mmnet.networks.network import Network

# Two processes on two cores, or two suites: each computes with one thread.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.fixture(scope="session")
def test_data():
    """Folder with published checkpoints, golden values and real portraits."""
    if not os.path.isdir(os.path.join(TEST_DATA, "golden")):
        pytest.skip(
            "no published checkpoints and real portraits: set MMNET_TEST_DATA or put them into "
            "../shared"
        )
    return TEST_DATA


@pytest.fixture
def start_process():
    """Start a command in the checkout, its output as text: a Popen, which ends with the test."""
    started = []

    def start(command, **options):
        process = subprocess.Popen(command, cwd=ROOT, universal_newlines=True, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """A dataset of six small made-up portraits, a space in its path; no test writes into it."""
    from mmnet.datasets.synthetic import synthesize

    folder = str(tmp_path_factory.mktemp("made up"))
    synthesize(folder, "test", 6, shape=(200, 150))
    return folder


@pytest.fixture(scope="session")
def portrait_set(portraits):
    """The Dataset of ``portraits``."""
    from mmnet.datasets.pairs import find_dataset

    return find_dataset(portraits, "test")


@pytest.fixture(scope="session")
def write_checkpoints(tmp_path_factory):
    """Write checkpoints of SMALL, of different random weights, into a new folder: steps -> folder.

    TensorFlow's own Saver writes them.
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
        folder = folder or str(tmp_path_factory.mktemp("a run"))
        with tf.Session(graph=graph) as session:
            for number in steps:
                session.run(initializer)
                session.run(set_step, {new_step: number})
                prefix = os.path.join(folder, "MMNetModel")
                saver.save(session, prefix, global_step=number, write_meta_graph=False)
        return folder

    return write


@pytest.fixture(scope="session")
def lively_weights(tmp_path_factory):
    """Weights of SMALL, from a checkpoint, whose alphas differ from pixel to pixel."""
    from helpers.lively import write_lively

    return write_lively(str(tmp_path_factory.mktemp("a lively run")))


@pytest.fixture(scope="session")
def mmnet_weights(tmp_path_factory):
    """Random weights of MMNet with width multiplier .25 at 64x64, as a checkpoint."""
    from helpers.lively import write_lively

    network = Network("mmnet", width_multiplier=0.25, shape=(64, 64))
    return write_lively(str(tmp_path_factory.mktemp("a whole lively run")), network)


@pytest.fixture(scope="session")
def run_folder(lively_weights, tmp_path_factory):
    """A run of lively_weights: its checkpoint and its settings; no test writes into it."""
    folder = tmp_path_factory.mktemp("a run with its settings")
    for path in files_of(lively_weights.source):
        shutil.copy(path, str(folder))
    (folder / "config.yaml").write_text("network: tiny\nsize: 64\n")
    return str(folder)


@pytest.fixture(scope="session")
def lively_images():
    """Four made-up portraits as SMALL takes them: float32 [4,64,64,3] 0..255."""
    from mmnet.export.comparison import comparison_images

    return comparison_images(None, SMALL)


@pytest.fixture(scope="session")
def lively_predictor(lively_weights, lively_images):
    """A CheckpointPredictor with lively_weights; no test loads others into it."""
    from mmnet.export.comparison import EXACT
    from mmnet.inference.checkpoints import open_weights

    predictor = open_weights(lively_weights, EXACT)
    assert predictor(lively_images).std() > 0.015
    return predictor


@pytest.fixture(scope="session")
def graph_of(lively_weights):
    """Inference graphs of lively_weights: preprocess, output_type -> GraphDef, built once each."""
    from mmnet.networks.inference_graph import inference_graph
    from mmnet.tf.compat import tf

    @lru_cache(maxsize=None)
    def build(preprocess, output_type):
        values = lively_weights.values
        return inference_graph(SMALL, values, preprocess=preprocess, output_type=output_type)

    def graph_of(preprocess="inside", output_type="probabilities"):
        graph_def = tf.GraphDef()  # a copy: importing it writes default attributes into it
        graph_def.CopyFrom(build(preprocess, output_type))
        return graph_def

    return graph_of


@pytest.fixture(scope="session")
def delivered(lively_weights, tmp_path_factory):
    """Models made of lively_weights, each once: lively.Delivered."""
    from helpers.lively import Delivered

    return Delivered(lively_weights, str(tmp_path_factory.mktemp("some models")))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    """With several processes, one runs all files that use ``delivered``, so that each of its models
    is made once.
    """
    using = {item.module for item in items if "delivered" in item.fixturenames}
    for item in items:
        name = "delivered" if item.module in using else item.module.__name__
        item.add_marker(pytest.mark.xdist_group(name))


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    failed = len(stats.get("failed", [])) + len(stats.get("error", []))
    counts = (len(stats.get("passed", [])), failed, len(stats.get("skipped", [])))
    terminalreporter.write_line("%d passed, %d failed, %d skipped" % counts)


@pytest.fixture(scope="module")
def browser(portrait_set, tmp_path_factory):
    """Chromium whose camera sees a portrait."""
    import cv2

    from mmnet.matting.load import load_photo

    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    portrait = load_photo(portrait_set.pairs[0].image)
    clip = tmp_path_factory.mktemp("camera") / "portrait.y4m"
    planes = cv2.cvtColor(cv2.resize(portrait, (160, 120)), cv2.COLOR_RGB2YUV_I420).tobytes()
    clip.write_bytes(b"YUV4MPEG2 W160 H120 F10:1 Ip A1:1 C420jpeg\n")
    with clip.open("ab") as file:
        file.write((b"FRAME\n" + planes) * 10)
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
    flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    flags += ["--use-file-for-fake-video-capture=%s" % clip]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()
