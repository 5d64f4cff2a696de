"""The write-only mapper between frozen dataclasses and XML: each field says where its value goes.

`at("driver/@type")` is an attribute, `at("name")` an element's text (a bool there means: element present or absent),
`at("devices/*")` child elements. Only the shape of XML lives here: no libvirt, no element of any document, and no
parsing: a running domain is changed by device-level XML, never by parse → edit → redefine.
"""
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar

from lxml import etree

NAMESPACE = "https://mains.example/xmlns/domain/1"
PREFIXES = {"mains": NAMESPACE}


def at(path: str, *, default: Any = MISSING, secret: bool = False) -> Any:
    """Declare a field written at `path`; `secret` keeps it out of repr and so out of logs."""
    return field(default=default, repr=not secret, metadata={"at": path})


def always(path: str, value: str) -> Any:
    """Declare a constant of the document that nobody chooses."""
    return field(default=value, init=False, repr=False, metadata={"at": path})


class Element:
    """Base of all mapped dataclasses: `class Disk(Element, tag="disk")`."""

    tag: ClassVar[str]

    def __init_subclass__(cls, *, tag: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tag = tag

    def to_element(self) -> etree._Element:
        root = etree.Element(self.tag)
        for one in fields(self):
            value = getattr(self, one.name)
            if "at" in one.metadata and value is not None and value is not False:
                _write(root, one.metadata["at"], value)
        return root

    def to_xml(self) -> str:
        root = self.to_element()
        etree.indent(root)
        return etree.tostring(root, encoding="unicode") + "\n"


def _write(root: etree._Element, path: str, value: Any) -> None:
    *parents, leaf = path.split("/")
    node = root
    for name in parents:
        node = _child(node, name)
    if leaf == "*":
        node.extend(child.to_element() for child in (value if isinstance(value, tuple) else (value,)))
    elif leaf.startswith("@"):
        node.set(leaf[1:], "yes" if value is True else str(value))
    else:
        written = _child(node, leaf)
        if value is not True:
            written.text = str(value)


def _child(node: etree._Element, name: str) -> etree._Element:
    """The child of that name, made when absent, so that paths share their parents."""
    prefix, _, local = name.rpartition(":")
    tag = f"{{{PREFIXES[prefix]}}}{local}" if prefix else name
    found = node.find(tag)
    if found is None:
        found = etree.SubElement(node, tag, nsmap={prefix: PREFIXES[prefix]} if prefix else None)
    return found
