"""Hook of mkdocs: add the pages and figures outside docs/ to the site, and correct the links.

Links in README.md and docs/ are relative to the repository, so they also work in a clone.
"""

import os
import posixpath
import re

from mkdocs.structure.files import File

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = {  # file of the repository -> page of the site
    "README.md": "index.md",
    "README.zh-CN.md": "zh-cn.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "figure/README.md": "photos.md",
    "CHANGELOG.md": "changelog.md",
    "mmnet/weights/persons/README.md": "mmnet-persons.md",
    "mmnet/weights/fast/README.md": "mmnet-fast.md",
}
FIGURES = (".png", ".jpg", ".webp")
LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)]*)?\)")


def on_files(files, config):
    """Add the pages, the figures and the licence."""
    figures = {"figure/" + name for name in os.listdir(os.path.join(ROOT, "figure"))}
    copies = {name: name for name in figures | {"LICENSE"} if name.endswith((*FIGURES, "LICENSE"))}
    for source, target in {**PAGES, **copies}.items():
        path = os.path.join(ROOT, source)
        files.append(File.generated(config, target, abs_src_path=path))
    return files


def on_page_markdown(markdown, page, **_):
    """Replace links to files of the repository by links to files of the site."""
    sources = {target: source for source, target in PAGES.items()}
    source = sources.get(page.file.src_uri, "docs/" + page.file.src_uri)

    def replace(match):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match.group(2)))
        if path.startswith("configs/"):
            path = "docs/presets.md"
        target = PAGES.get(path) or (path[5:] if path.startswith("docs/") else path)
        return f"{match.group(1)}{target}{match.group(3) or ''})"

    return LINK.sub(replace, markdown)
