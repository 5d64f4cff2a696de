"""What a person may call something: one rule for pages and API."""
from django.utils.translation import gettext_lazy as _

LONGEST = 100
# Never needed in a name, and what markup, shells, paths and templates are broken with.
REFUSED = frozenset("<>\"'`\\/{}$;|&")

NAME_RULE = _("One line of printable characters, without < > \" ' ` \\ / { } $ ; | &.")


def is_name(text: str) -> bool:
    """One line of printable characters of any script, none of them REFUSED, not only dots."""
    return text.isprintable() and not REFUSED & set(text) and text.strip(".") != ""
