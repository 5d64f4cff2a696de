"""The fabric: the only code that talks to the SDN engine. Values in, calls out; no Django model may be known here.

`plan` says what the portal wants, `design` turns that into a `document` of rows, a driver makes the document so.
"""
from .registry import open_fabric

__all__ = ["open_fabric"]
