"""
The public surface: every name that a program may import.

C{python docs/surface.py} writes C{docs/surface.txt}, the surface as it was last
written, and the lists of C{docs/reference.rst}; tests hold both.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

DOCS = Path(__file__).parent

PUBLIC: dict[str, str] = {
    "txconnect": "the names that are needed every day",
    "txconnect.interfaces": "what a plugin provides, who calls it, and when",
    "txconnect.plugins": "how a function or a class becomes a plugin",
    "txconnect.policy": "the stock policies, and policies made of policies",
    "txconnect.auth": "schemes, checkers, and identities from certificates",
    "txconnect.observers": "the access log, the lines on the terminal, the counters",
    "txconnect.taps": "the stock taps",
    "txconnect.client": "going through a proxy, this one or any other",
    "txconnect.testing": "the tests of a plugin or a program, without a socket",
}
"""The public modules with a list of names, and what each is for."""


def namesOf(module: str) -> list[str]:
    """Return the public names of a module, which all must exist."""
    loaded = import_module(module)
    names = [name for name in loaded.__all__ if name != "__version__"]
    for name in names:
        getattr(loaded, name)
    return sorted(names)


def surface() -> list[str]:
    """Return every public name in full."""
    return [f"{module}.{name}" for module in PUBLIC for name in namesOf(module)]


def referenceLists() -> str:
    """Return the lists of the reference's page."""
    parts = []
    for module, purpose in PUBLIC.items():
        names = ",\n    ".join(f"``{name}``" for name in namesOf(module))
        parts.append(f"``{module}``: {purpose}\n    {names}")
    return "\n\n".join(parts)


def main() -> None:
    """Write the surface, and the lists of the page."""
    (DOCS / "surface.txt").write_text("\n".join(surface()) + "\n", "utf-8")
    page = DOCS / "reference.rst"
    head, mark, rest = page.read_text("utf-8").partition(".. surface\n\n")
    _, end, tail = rest.partition("\n\n.. end of surface")
    page.write_text(head + mark + referenceLists() + end + tail, "utf-8")


if __name__ == "__main__":
    main()
