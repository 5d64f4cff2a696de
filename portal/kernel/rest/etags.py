"""Entity tags: `"<version>-<digest of what is shown>"`.

`If-None-Match` looks at the whole tag, so 304 is never said of an answer that changed. `If-Match` looks at the version
alone: what others' rows add to the answer (an address, a host's last word) does not make a change of this row stale.
"""
import hashlib
from collections.abc import Mapping
from typing import Any

from django.db import models

from .rendering import as_json


def version_of(row: models.Model) -> str:
    """The version of a resource; the time of the last change of other rows."""
    version = getattr(row, "version", None)
    if version is not None:
        return str(version)
    changed = getattr(row, "updated_at", None) or getattr(row, "created_at", None) or getattr(row, "at", None)
    return str(changed.timestamp() if changed else row.pk)


def etag_of(row: models.Model, shown: Mapping[str, Any]) -> str:
    """The tag of the row as it is shown to this caller."""
    return f'"{version_of(row)}-{hashlib.sha256(as_json(shown)).hexdigest()[:12]}"'


def is_wanted(row: models.Model, if_match: str) -> bool:
    """Whether one of the tags that the caller knows is of the row's version."""
    return version_of(row) in {tag.rpartition("-")[0] for tag in _tags(if_match)}


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the caller has the answer with this tag already."""
    return not _tags(if_none_match).isdisjoint({tag.strip('"'), "*"})


def _tags(header: str) -> set[str]:
    """Weak tags count as strong ones: proxies weaken what they compress."""
    return {text.strip().removeprefix("W/").strip('"') for text in header.split(",")} - {""}
