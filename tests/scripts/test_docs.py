"""Tests of README.md and docs/: links, commands, generated pages and size."""

import glob
import os
import re
import shlex

import pytest

from helpers import ROOT, load_script
from mmnet.cli import find_command, parse_options

README_BYTES = 7000
PAGES = sorted(
    [os.path.join(ROOT, name) for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")]
    + glob.glob(os.path.join(ROOT, "docs", "*.md"))
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)
FOLDERS = ("DATASET", "PERSONS", "DAPM", "AISEGMENT", "ROOMS", "SOURCE", "UNSPLIT", "P3M", "clips")
CHECKPOINTS = ("run", "run1", "run8", "CKPT", "people", "mine", "modnet", "imagenet", "MODNET")
FILES = ("photo.jpg", "beach.jpg", "clip.mp4", "photos.txt", "modnet.ckpt", "mobilenet_v2.h5")
MODELS = (
    "exported/mmnet_float32.tflite",
    "exported/mmnet_int8.tflite",
    "exported/mmnet.onnx",
    "package/selfie_segmentation.tflite",
)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def find_commands(page):
    """Return the words of each mmnet command in the examples of a page."""
    lines = "".join(BLOCK.findall(read(page))).splitlines()
    lines = [line.split(" < ")[0] for line in lines if line.startswith("mmnet ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def find_anchors(text):
    """Return the anchors of the headings, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def example_folder(tmp_path, monkeypatch):
    """Change to a folder with the datasets, checkpoints and files of the examples."""
    for name in (*FOLDERS, "photos", "exported", "package", "DOWNLOADED", *CHECKPOINTS):
        (tmp_path / name).mkdir()
    for name in CHECKPOINTS:
        (tmp_path / name / "MMNetModel-1.index").write_text("")
    for name in (*FILES, *MODELS, "mmnet.pb"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=os.path.basename)
def test_commands_of_examples_are_accepted(example_folder, page):
    for name, *words in find_commands(page):
        assert parse_options(find_command(name), words)


@pytest.mark.parametrize("path", PAGES, ids=os.path.basename)
def test_links_lead_to_files_and_headings(path):
    for link in LINK.findall(read(path)):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            assert os.path.exists(target), link
            assert not anchor or anchor in find_anchors(read(target)), link


@pytest.mark.parametrize("path", PAGES, ids=os.path.basename)
def test_blocks_have_a_language_that_run_docs_runs(path):
    assert not re.search("^```(shell|bash|py)$", read(path).partition("\n## mmnet.")[0], re.M)


def test_run_docs_finds_the_examples_and_their_reasons():
    rows = load_script("scripts/run_docs.py").find_examples("README.md")
    examples = {code.split(" #")[0].strip(): reason for code, _, reason in rows}
    assert examples["mmnet predict photo.jpg --output cutout.png"] == ""
    assert examples["mmnet demo"] == "it starts a server"


@pytest.mark.parametrize("is_tf1", [True, False])
def test_run_docs_leaves_out_what_tensorflow_1_cannot_do(is_tf1, monkeypatch):
    script = load_script("scripts/run_docs.py")
    monkeypatch.setattr(script, "IS_TF1", is_tf1)
    rows = script.find_examples("docs/export.md")
    reasons = [reason for code, _, reason in rows if "--views 256 320f" in code]
    assert [bool(reason) for reason in reasons] == [is_tf1]


def test_generated_pages_are_current():
    for name, text in load_script("scripts/make_docs.py").make_pages().items():
        assert text == read(os.path.join(ROOT, "docs", name)), "run: python scripts/make_docs.py"


def test_every_page_is_in_the_navigation():
    navigation = read(os.path.join(ROOT, "mkdocs.yml"))
    for path in glob.glob(os.path.join(ROOT, "docs", "*.md")):
        assert f": {os.path.basename(path)}\n" in navigation


def test_readme_is_short():
    assert os.path.getsize(os.path.join(ROOT, "README.md")) <= README_BYTES
