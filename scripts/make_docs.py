"""Write the generated pages of docs/: cli.md, presets.md and python-api.md.

python scripts/make_docs.py
"""

import argparse
import inspect
import os
import re
import sys
from collections import Counter

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import mmnet  # noqa: E402
from mmnet import cli  # noqa: E402
from mmnet.commands import COMMANDS  # noqa: E402
from mmnet.commands.presets import list_presets  # noqa: E402
from mmnet.inference.predictor import Predictor  # noqa: E402

CLI = """\
# Commands

`scripts/make_docs.py` writes this page from the parsers. `mmnet COMMAND --help` prints the same
text. Every command accepts `--help`, `--debug` (show the traceback of every error) and
`--config PRESET` ([presets](presets.md)).
"Also" names flags of several commands; [common flags](#common-flags) describes them.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | partial success (`predict` skipped unreadable files), a comparison that failed, or a bug |
| 2 | bad input: one message on stderr |
| 75 | a process of a training was lost (`launch`) |
| 130, 143 | Ctrl-C, SIGTERM |
"""
PRESETS = """\
# Presets

`scripts/make_docs.py` writes this page from configs/.

    mmnet train --config mmnet_dm0.5_256 --dataset_path DATASET --train_dir TRAIN_DIR

A preset is a YAML file of flags. `--config` accepts the name of a file in configs/, or the path of
your own file. Flags override the preset. The comments state the command and the published or
measured result.
"""
API = """\
# Python

`scripts/make_docs.py` writes this page from the docstrings. `import mmnet` imports
nothing else until a function is used.

```python
import mmnet

rgba = mmnet.cutout("photo.jpg")  # uint8 [H,W,4]; a path, bytes, an array or a PIL image
mmnet.cutout_image("photo.jpg").save("cutout.png")
predictor = mmnet.load("mmnet-fast")
alpha = mmnet.matte("photo.jpg", predictor)  # float32 [H,W], 0..1
```
"""
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):$")
ITEM = re.compile(r"^    (\w+): ")
COMMON = 4  # commands with an equal flag, from which it is described once
GENERAL = ("help", "config", "debug")  # flags of every command


def make_pages():
    """Return the generated pages: file name in docs/ -> text."""
    commands = describe_commands()
    presets = "".join(describe_preset(name) for name in list_presets())
    functions = [getattr(mmnet, name) for name in ("cutout", "cutout_image", "load", "matte")]
    api = "".join(describe_object(value) for value in [*functions, Predictor])
    return {"cli.md": CLI + commands, "presets.md": PRESETS + presets, "python-api.md": API + api}


def describe_commands():
    """Return a section per command, and the flags that many commands share."""
    parsers = {name: cli.make_parser(name) for name in COMMANDS}
    rows = {name: argument_rows(parser) for name, parser in parsers.items()}
    counts = Counter(row for command_rows in rows.values() for row in command_rows)
    common = [row for row, count in counts.items() if count >= COMMON]
    text = ""
    for name, parser in parsers.items():
        description = inspect.cleandoc(parser.description)  # Python 3.13 dedents docstrings itself
        text += f"\n## {name}\n\n    {parser.usage}\n\n{escape(description)}\n"
        text += make_table([row for row in rows[name] if row not in common])
        common_rows = [row for row in rows[name] if row in common]
        flags = ", ".join(f"`{flag.split()[0]}`" for flag, _ in common_rows)
        text += f"\nAlso {flags}.\n" if flags else ""
    return f"{text}\n## Common flags\n{make_table(common)}"


def argument_rows(parser):
    """Return (argument, description) of each argument of a command."""
    rows = []
    for action in parser._actions:
        if action.dest not in GENERAL and action.help != argparse.SUPPRESS:
            words = ["/".join(action.option_strings), *placeholders(action)]
            rows.append((" ".join(words).strip(), action.help.replace("%%", "%")))
    return rows


def make_table(rows):
    lines = [f"| `{argument}` | {escape(description)} |\n" for argument, description in rows]
    return "\n| argument | description |\n|---|---|\n" + "".join(lines) if rows else ""


def placeholders(action):
    """Return the placeholders of a flag's values."""
    if action.nargs == 0:
        return []
    names = list(action.metavar) if isinstance(action.metavar, tuple) else [action.metavar]
    return [*names, "..."] if action.nargs in ("+", "*") else names


def describe_preset(name):
    with open(os.path.join(ROOT, "configs", f"{name}.yaml"), encoding="utf-8") as file:
        return f"\n## {name}\n\n```yaml\n{file.read().strip()}\n```\n"


def describe_object(value):
    source = inspect.getsource(value).splitlines()
    start = next(n for n, line in enumerate(source) if line.startswith(("def ", "class ")))
    end = next(n for n, line in enumerate(source) if n >= start and line.endswith(":"))
    signature = "\n".join(source[start : end + 1])
    name = value.__name__ if inspect.isclass(value) else f"mmnet.{value.__name__}"
    lines = []
    for line in inspect.getdoc(value).splitlines():
        if SECTION.match(line):
            lines += ["", f"**{line[:-1]}**", ""]
        else:
            lines.append(ITEM.sub(r"- `\1`: ", line).lstrip())
    text = re.sub("\n{3,}", "\n\n", "\n".join(lines))
    return f"\n## {name}\n\n```py\n{signature}\n```\n\n{escape(text.strip())}\n"


def escape(text):
    """Escape what Markdown would read as a table cell or a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    for file_name, page in make_pages().items():
        with open(os.path.join(ROOT, "docs", file_name), "w", encoding="utf-8") as output:
            output.write(page)
