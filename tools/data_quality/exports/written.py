"""Writing YAML and JSON so that equal documents have equal bytes, and every reader reads them alike.

Invariant: what is written can be encoded as UTF-8, and reads back as the document it was made from.
"""

import json
import re
from typing import Any, Final

import yaml

# PyYAML quotes what YAML 1.1 takes for a number; readers of YAML 1.2 also take these for one.
_NUMBER_SINCE_1_2: Final = re.compile(r"[-+]?(?:\.?[0-9][0-9_.]*)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything where it stands: an anchor would make a reader look elsewhere."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if _NUMBER_SINCE_1_2.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def as_yaml(document: dict[str, Any]) -> str:
    """The document as block YAML, its keys in their own order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def as_json(document: dict[str, Any]) -> str:
    """The document as indented JSON; a lone half of a surrogate pair, which UTF-8 cannot hold, is escaped."""
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"
