"""Names that organizations may not have."""
import unicodedata

from django.utils.translation import gettext_lazy as _

# Names under which somebody could pass for those who run the site; compared without case, marks and spaces.
RESERVED = frozenset({"admin", "administrator", "administrators", "billing", "mains", "official", "operator", "operators", "ops",
                      "root", "security", "staff", "support", "system", "管理员", "官方", "客服", "系统", "运营"})
RESERVED_RULE = _("This name is kept for those who run this site.")


def is_reserved(name: str) -> bool:
    """Whether the name is one of RESERVED, however it is written."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(one for one in plain if one.isalnum()) in RESERVED
