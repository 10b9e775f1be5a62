"""
pydoctor, taught that an interface may inherit from Twisted's.

pydoctor calls a class an interface when one of its bases is an interface that
it documents itself.  Ours also inherit from C{IPlugin} and others of Twisted,
which it does not read; here they are asked what they are.
"""

from __future__ import annotations

import ast
from importlib import import_module

from pydoctor import model
from pydoctor.extensions import ExtRegistrar, ModuleVisitorExt
from pydoctor.extensions.zopeinterface import ZopeInterfaceClass
from zope.interface.interface import InterfaceClass


class System(model.System):
    """What C{--system-class} in setup.cfg names."""

    custom_extensions = [__name__]


def isInterface(name: str) -> bool:
    """Whether a full name is an interface of an installed package."""
    module, _, last = name.rpartition(".")
    try:
        found = getattr(import_module(module), last, None) if module else None
    except ImportError:
        return False
    return isinstance(found, InterfaceClass)


class InheritedInterfaces(ModuleVisitorExt):
    """Marks the classes whose bases are interfaces from elsewhere."""

    when = ModuleVisitorExt.When.AFTER

    def depart_ClassDef(self, node: ast.ClassDef) -> None:
        cls = self.visitor.builder.current.contents.get(node.name)
        if not isinstance(cls, ZopeInterfaceClass) or cls.isinterface:
            return
        if any(isInterface(base) for base in cls.bases):
            cls.isinterface = True
            cls.kind = model.DocumentableKind.INTERFACE
            cls.implementedby_directly = []


def setup_pydoctor_extension(registrar: ExtRegistrar) -> None:
    registrar.register_astbuilder_visitor(InheritedInterfaces)
