"""Tests of exported models in other programs, with the examples of docs/applications.md.

The examples for MediaPipe and rembg run in environments of their own: MMNET_MEDIAPIPE_PYTHON and
MMNET_REMBG_PYTHON are the paths of their interpreters.
"""

import functools
import http.server
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from helpers import PAGE_TIMEOUT, ROOT, assert_message
from helpers.cards import write_card
from helpers.models import SPECS
from mmnet.export.export import ExportSpec, export
from mmnet.export.rembg import MEAN, STD, adapt_model
from mmnet.inference.open import open_predictor
from mmnet.io.images import read_image, save_png
from mmnet.networks.inference_graph import INPUT, OUTPUT

BUNDLED = os.path.join(ROOT, "mmnet", "weights", "persons")
SEGMENTER = """
import sys
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
for model in sys.argv[1:]:
    options = vision.ImageSegmenterOptions(BaseOptions(model_asset_path=model))
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        result = segmenter.segment(mp.Image.create_from_file("photo.jpg"))
        alpha = result.confidence_masks[-1].numpy_view().squeeze()
        np.save(model.rpartition("/")[2] + ".npy", alpha)
"""


def find_python(package):
    """Return the path of an interpreter that has the package, or skip the test."""
    variable = f"MMNET_{package.upper()}_PYTHON"
    if os.environ.get(variable):
        return os.environ[variable]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: set {variable} to a Python that has it")
    return sys.executable


def run_code(python, code, folder, *arguments, **options):
    command = [python, "-c", code, *arguments]
    result = subprocess.run(command, cwd=str(folder), stderr=subprocess.PIPE, text=True, **options)
    assert result.returncode == 0, result.stderr


def read_section(section):
    """Return docs/applications.md from a heading on."""
    with open(os.path.join(ROOT, "docs", "applications.md"), encoding="utf-8") as file:
        return file.read().partition(f"\n## {section}\n")[2]


def read_example(section, language):
    """Return the first example in this language in a section of docs/applications.md."""
    code = re.search(rf"^```{language}\n(.*?)^```", read_section(section), re.M | re.S).group(1)
    assert code.count("\n") <= 15
    return code


def write_photo(folder, image):
    """Write photo.jpg, as a PNG: all programs recognize the format, and no decoder differs."""
    data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    (folder / "photo.jpg").write_bytes(data.tobytes())


@pytest.fixture(scope="module")
def image():
    """A photo with the input shape of the bundled network, so that no program resizes it."""
    return cv2.resize(read_image(os.path.join(ROOT, "figure", "astronaut.jpg")), (256, 256))


@pytest.fixture
def folder(image, tmp_path):
    """Folder that the examples expect: photo.jpg and exported/."""
    write_photo(tmp_path, image)
    (tmp_path / "exported").mkdir()
    for name in ("mmnet_float32.tflite", "mmnet.onnx"):
        shutil.copy(os.path.join(BUNDLED, name), str(tmp_path / "exported"))
    return tmp_path


@pytest.fixture(scope="module")
def alpha(image):
    with open_predictor("mmnet-persons") as predictor:
        return predictor(image[None])[0]


@pytest.mark.parametrize(
    "section, package",
    [
        ("MediaPipe Tasks", "mediapipe"),
        ("OpenCV", "cv2"),
        ("ONNX Runtime", "onnxruntime"),
        ("LiteRT", "ai_edge_litert"),
    ],
)
def test_example_gives_the_alpha_of_the_network(folder, alpha, section, package):
    run_code(find_python(package), read_example(section, "python"), folder)
    cutout = cv2.imread(str(folder / "cutout.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(cutout[..., 3] - 255 * alpha).max() <= 1


def test_mediapipe_runs_every_kind_of_model(exported_models, small_images, tmp_path):
    python = find_python("mediapipe")
    names = [name for name in SPECS if name.endswith(".tflite")]
    image = np.rint(small_images[0]).astype(np.uint8)
    write_photo(tmp_path, image)
    cards = exported_models(*names)
    run_code(python, SEGMENTER, tmp_path, *(card.path for card in cards))
    for card, name in zip(cards, names):
        alpha = open_predictor(card.path)(image[None])[0]
        difference = np.abs(np.load(str(tmp_path / (name + ".npy"))) - alpha)
        if card.precision == "int8":  # kernels of 8 bits round differently
            assert difference.mean() <= 0.005, name
        else:
            assert difference.max() <= 1e-3, name


def write_brightness_model(path, size):
    """Write an .onnx with its card: the alpha is the brightness of the image."""
    onnx = pytest.importorskip("onnx")
    make, values = onnx.helper, onnx.helper.make_tensor_value_info
    nodes = [
        make.make_node("ReduceMean", [INPUT], ["mean"], axes=[3], keepdims=1),
        make.make_node("Mul", ["mean", "scale"], [OUTPUT]),
    ]
    tensors = [
        values(name, onnx.TensorProto.FLOAT, [1, size, size, channels])
        for name, channels in ((INPUT, 3), (OUTPUT, 1))
    ]
    scale = onnx.numpy_helper.from_array(np.float32(1 / 255), "scale")
    graph = make.make_graph(nodes, "brightness", tensors[:1], tensors[1:], [scale])
    opset = [make.make_opsetid("", 13)]
    onnx.save(make.make_model(graph, opset_imports=opset, ir_version=7), str(path))
    write_card(path, {"preprocess": "inside", "output_type": "alpha", "precision": "float32"})


@pytest.mark.parametrize("name, output", [("a.png", "cutout.png"), ("a.mp4", "out_%d.png")])
def test_onnx_of_512_pixels_keeps_every_step(run, tmp_path, name, output):
    """Photos and clips have a second pass, refined edges and foreground colours at any size."""
    pytest.importorskip("onnxruntime")
    write_brightness_model(tmp_path / "model.onnx", 512)
    y, x = np.mgrid[:300, :400]
    alpha = np.clip(6 - np.hypot(x - 150, y - 140) / 10, 0, 1)[..., None]  # a disc with soft edges
    image = (240 * alpha + (1 - alpha) * [0, 0, 90]).astype(np.uint8)
    if name == "a.png":
        save_png(str(tmp_path / name), image)
    else:
        av = pytest.importorskip("av")
        with av.open(str(tmp_path / name), "w") as clip:
            stream = clip.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = 300, 400, "yuv420p"
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            clip.mux(stream.encode())

    def cut_out(*flags):
        arguments = ["--output", tmp_path / output, "--checkpoint_path", tmp_path / "model.onnx"]
        code, _, err = run("predict", tmp_path / name, *arguments, *flags)
        assert code == 0, err
        (path, *_) = sorted(tmp_path.glob(output.replace("%d", "*")))
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)

    cutout = cut_out()
    assert np.abs(cutout - cut_out("--no_second_pass"))[..., 3].max() > 0
    assert np.abs(cutout - cut_out("--no_refinement"))[..., 3].max() > 0
    difference = np.abs(cutout - cut_out("--no_foreground_colours")).max(axis=(0, 1))
    assert difference[3] == 0 and difference[:3].max() > 50


def test_new_onnx_runs_in_opencv(mmnet_weights, tmp_path):
    images = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype("f")
    (card,) = export(mmnet_weights, [ExportSpec("onnx", str(tmp_path / "mmnet.onnx"))], images)
    network = cv2.dnn.readNet(card.path)
    network.setInput(images)
    alphas = open_predictor(card.path)(images)
    assert alphas.std() > 0.01
    np.testing.assert_allclose(network.forward()[..., 0], alphas, atol=1e-4)


def test_rembg_gives_the_alpha_of_the_network(run, tmp_path):
    python = find_python("rembg")
    image = cv2.resize(read_image(os.path.join(ROOT, "figure", "astronaut.jpg")), (320, 320))
    write_photo(tmp_path, image)
    code, out, err = run("export", "--format", "onnx", "--target", "rembg", "--output", tmp_path)
    assert code == 0, err
    commands = err.replace("~", str(tmp_path)).splitlines()
    assert subprocess.call(commands[0], shell=True, cwd=str(tmp_path)) == 0
    assert_message(err, *re.findall("rembg i .*", read_section("rembg"))[0].split())
    environment = dict(os.environ, HOME=str(tmp_path))
    run_code(python, read_example("rembg", "python"), tmp_path, env=environment)
    cutout = cv2.imread(str(tmp_path / "cutout.png"), cv2.IMREAD_UNCHANGED)
    with open_predictor("mmnet-persons", {"shape": (320, 320)}) as predictor:
        alpha = predictor(image[None])[0]
    assert np.abs(cutout[..., 3] - 255 * alpha).max() < 0.6  # rounded


def test_rembg_keeps_weak_alphas(tmp_path):
    """rembg stretches the range of the first output to 0..1."""
    onnx, onnxruntime = map(pytest.importorskip, ("onnx", "onnxruntime"))
    path = str(tmp_path / "model.onnx")
    write_brightness_model(path, 320)
    model = onnx.load(path)
    adapt_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = np.random.RandomState(0).uniform(0.1, 0.4, (1, 320, 320, 1)).astype("f") * np.ones(3)
    values = ((image - MEAN) / STD).astype("f").transpose(0, 3, 1, 2)
    first, alpha = (array[0, 0] for array in session.run(None, {"image": values}))
    np.testing.assert_allclose(alpha, image[0, ..., 0], atol=1e-5)
    stretched = (first - first.min()) / (first.max() - first.min())
    levels = np.uint8(255 * stretched)
    assert np.count_nonzero(levels != np.rint(255 * alpha)) < 50  # rounding errors, 2 limits


@pytest.mark.parametrize(
    "flags", [["--size", "256"], ["--format", "pb"], ["--output_type", "logits"]]
)
def test_rembg_needs_its_own_form(assert_refused, tmp_path, flags):
    arguments = ["export", "--format", "onnx", "--target", "rembg", "--output", tmp_path, *flags]
    assert_refused(arguments, "--target rembg")


@pytest.fixture
def address(folder):
    """Address of the web page, which loads MediaPipe from the same server."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: apt-get install npm")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "@mediapipe/tasks-vision"]
    if subprocess.call(install, cwd=str(folder)) != 0:
        pytest.skip("npm cannot install @mediapipe/tasks-vision")
    page = read_example("MediaPipe Tasks", "html")
    page = page.replace("https://cdn.jsdelivr.net/npm", "/node_modules")
    (folder / "index.html").write_text(page)
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *_):
        pass


def test_web_page_gives_the_alpha_of_the_network(browser, address, alpha):
    tab = browser.new_page()
    tab.set_default_timeout(PAGE_TIMEOUT)
    tab.goto(address)
    tab.wait_for_function("canvas.getContext('2d').globalCompositeOperation == 'source-in'")
    pixels = "Array.from(canvas.getContext('2d').getImageData(0, 0, 256, 256).data)"
    values = np.reshape(tab.evaluate(pixels), (256, 256, 4))
    tab.close()
    assert np.abs(values[..., 3] - 255 * alpha).max() <= 2.55  # 1 % of 255
