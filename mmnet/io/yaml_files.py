"""Read YAML files: presets and the options of a run."""

from typing import Any, Dict

import yaml

from mmnet.io.errors import MmnetError
from mmnet.io.files import read_text

MAX_YAML_LENGTH = 100000  # characters


class PlainLoader(yaml.SafeLoader):
    """A YAML loader that rejects aliases, because a few aliases can expand to gigabytes."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError(f"an alias (*name) in line {mark.line + 1}")
        return super().compose_node(parent, index)


def read_yaml(path: str) -> Dict[str, Any]:
    """Read a YAML file of ``name: value`` lines.

    Raises:
        FileNotFoundError: no such file.
        MmnetError: the file is too long, not YAML, or not a mapping.
    """
    contents = read_text(path)
    if len(contents) > MAX_YAML_LENGTH:
        raise MmnetError(f"{path}: more than {MAX_YAML_LENGTH} characters")
    try:
        values = yaml.load(contents, Loader=PlainLoader) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MmnetError(f"{path}: not YAML: {reason}") from None
    if not isinstance(values, dict):
        raise MmnetError(f"{path}: expected lines of the form 'name: value'")
    return values
