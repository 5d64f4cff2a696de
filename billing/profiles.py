"""How an organization wants to be billed: read with its defaults, written by the one verb here."""
import re
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing.models import BillingProfile
from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from tenants.models import Organization, User
from tenants.standing import lock_organization

FIELDS = ("name", "address", "country", "tax_id", "email", "sends_mail", "language")
"""What an organization says of itself; whether it is billed without tax, and pays in advance, is for operators to say."""
TERMS = ("is_tax_exempt", "is_prepaid")
COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


def profile_of(organization: Organization) -> BillingProfile:
    """The organization's; the defaults where it has said nothing."""
    return BillingProfile.objects.filter(pk=organization.pk).first() or BillingProfile(organization=organization)


@transaction.atomic
def set_profile(organization: Organization, *, actor: User, **values: Any) -> BillingProfile:
    """Change some of FIELDS and TERMS. Invoices that are issued keep what was said then. Raises InvalidInput, and
    NotFound for an organization that is deleted."""
    lock_organization(organization.pk)  # first: who pays by other terms now may come down the ladder, which holds it
    profile = BillingProfile.objects.get_or_create(organization=organization)[0]
    profile = BillingProfile.objects.select_for_update(no_key=True).get(pk=profile.pk)
    values = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    _check(values)
    before = {name: getattr(profile, name) for name, value in values.items() if getattr(profile, name) != value}
    for name in before:
        setattr(profile, name, values[name])
    if before:
        profile.save(update_fields=list(before))
        audit.record("billing_profile.change", organization, actor=actor, before=before,
                     after={name: values[name] for name in before})
    return profile


def _check(values: dict[str, Any]) -> None:
    errors: dict[str, list[Any]] = {}
    for name in ("name", "address", "tax_id"):
        longest = BillingProfile._meta.get_field(name).max_length
        text = values.get(name, "")
        # An address has lines; nothing has other signs that are not printed.
        if len(text) > longest or not re.sub(r"\r?\n" if name == "address" else r"\Z", "", text).isprintable():
            errors[name] = [_("Up to %(most)s printable characters.") % {"most": longest}]
    if (country := values.get("country", "")) and not COUNTRY.fullmatch(country):
        errors["country"] = [_("Two capital letters, as in ISO 3166.")]
    if email := values.get("email", ""):
        try:
            validate_email(email)
        except ValidationError as error:
            errors["email"] = list(error.messages)
    if values.get("language", BillingProfile.Language.ENGLISH) not in BillingProfile.Language.values:
        errors["language"] = [_("There is no such language.")]
    if errors:
        raise InvalidInput(errors=errors)
