"""
The programs under examples/, for the tests that run them.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from txconnect.plugins import Kind, loadPlugin

EXAMPLES = Path(__file__).parent.parent / "examples"


@cache
def program(name: str) -> ModuleType:
    """An example as a module, imported once."""
    stem = name.rpartition("/")[2]
    spec = spec_from_file_location(f"example_{stem}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def plugin(kind: Kind, description: str) -> Any:
    """What the command line makes of C{./file.py:name}, in examples/."""
    return loadPlugin(kind, f"{EXAMPLES}/{description}").plugin


def commandsOf(path: Path) -> Iterator[list[str]]:
    """The command lines of txconnect that an example's docstring shows."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    joined = text.replace("\\\n", " ")
    for line in re.findall(r"^    txconnect (.*)$", joined, re.MULTILINE):
        yield shlex.split(line)
