"""What a person may call something: one rule for pages and API."""
from django.utils.translation import gettext_lazy as _

LONGEST = 100
# Never needed in a name, and what markup, shells, paths and templates are broken with.
REFUSED = frozenset("<>\"'`\\/{}$;|&")

NAME_RULE = _("One line of printable characters, without < > \" ' ` \\ / { } $ ; | &.")


MOST_TAGS, LONGEST_TAG_KEY, LONGEST_TAG_VALUE = 50, 60, 200


def are_tags(found: object) -> bool:
    """Whether it maps at most 50 keys (1 to 60 characters, no colon) to texts of at most 200, all printable."""
    return isinstance(found, dict) and len(found) <= MOST_TAGS and all(
        isinstance(key, str) and isinstance(value, str) and 1 <= len(key) <= LONGEST_TAG_KEY
        and len(value) <= LONGEST_TAG_VALUE and ":" not in key and (key + value).isprintable()
        for key, value in found.items())


def is_name(text: str) -> bool:
    """One line of printable characters of any script, none of them REFUSED, not only dots."""
    return text.isprintable() and not REFUSED & set(text) and text.strip(".") != ""
