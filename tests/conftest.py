import os

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEST_DATA = os.environ.get("MMNET_TEST_DATA") or os.path.join(os.path.dirname(ROOT), "shared")

SMALL = {"width_multiplier": 0.25, "size": 64}  # a network that is built and run in a moment


@pytest.fixture(scope="session")
def test_data():
    """Folder with published checkpoints, golden values and real portraits."""
    if not os.path.isdir(os.path.join(TEST_DATA, "golden")):
        pytest.skip("no published checkpoints and real portraits: set MMNET_TEST_DATA or put them into ../shared")
    return TEST_DATA


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """A data set of six small made-up portraits, with a space in its path; tests do not write into it."""
    from mmnet.data.synthetic import synthesize

    folder = str(tmp_path_factory.mktemp("made up"))
    synthesize(folder, "test", 6, shape=(200, 150))
    return folder


@pytest.fixture(scope="session")
def write_checkpoints(tmp_path_factory):
    """Write checkpoints of a small network (SMALL), of different random weights, into a new folder: steps -> folder."""
    from mmnet.compat import tf
    from mmnet.networks.layers import INFERENCE
    from mmnet.networks.mmnet import mmnet

    graph = tf.Graph()
    with graph.as_default():
        mmnet(tf.placeholder(tf.float32, [None, SMALL["size"], SMALL["size"], 3]), INFERENCE, SMALL["width_multiplier"])
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
                saver.save(session, os.path.join(folder, "MMNetModel"), global_step=number, write_meta_graph=False)
        return folder
    return write


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    counts = [len(stats.get("passed", [])), len(stats.get("failed", [])) + len(stats.get("error", [])),
              len(stats.get("skipped", []))]
    terminalreporter.write_line("%d passed, %d failed, %d skipped" % tuple(counts))
