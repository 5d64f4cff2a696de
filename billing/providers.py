"""Who moves money for a customer. One interface; which provider takes part is a setting, and without one customers pay by bank
and operators record what they see there (`payments.record`). The simulated one is for tests and demos: whoever says so has paid.
"""
from decimal import Decimal
from typing import Protocol
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from billing import issuing, payments
from billing.models import Payment
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.states import database_now
from tenants.models import Organization


class Provider(Protocol):
    """A payment provider. `name` stands in the books beside its references."""

    name: str

    def start(self, organization: Organization, amount: Decimal, currency: str, return_url: str) -> str:
        """Where the customer goes to pay; afterwards the provider leads to `return_url`. Raises InvalidInput."""

    def confirm(self, request: HttpRequest, organization: Organization | None = None) -> Payment:
        """Record what the provider says was paid, once however often it says so, by the customer's browser or by itself.

        Raises InvalidInput when it did not say that, or not of the given organization; nothing is recorded then.
        """


def provider() -> Provider:
    """The one of the setting `PAYMENT_PROVIDER`. Raises NotFound where customers pay by other ways alone."""
    if not settings.PAYMENT_PROVIDER:
        raise NotFound
    return import_string(settings.PAYMENT_PROVIDER)()


def is_there() -> bool:
    """Whether customers can pay by themselves."""
    return bool(settings.PAYMENT_PROVIDER)


UNKNOWN = _("This payment is not known, or was begun too long ago.")


class Simulated:
    """Whoever says so has paid: for tests and demos. What is to be paid stands, signed, in the address of the page that asks;
    what was paid, signed otherwise, in the one to which that page leads back."""

    name = "simulated"
    ORDER, RECEIPT, VALID_S = "billing.simulated.order", "billing.simulated", 3600

    def start(self, organization: Organization, amount: Decimal, currency: str, return_url: str) -> str:
        issuing.check(amount=issuing.wrong_amount(amount))
        order = [str(organization.pk), str(amount), currency, issuing.next_reference(issuing.issuer(), database_now()),
                 return_url]
        return f"{reverse('balance:simulated')}?{urlencode({'order': signing.dumps(order, salt=self.ORDER)})}"

    def order(self, text: str) -> tuple[Decimal, str, str]:
        """(Amount, currency, where to go back) of what is to be paid. Raises InvalidInput."""
        _organization, amount, currency, _reference, return_url = self._read(text, self.ORDER)
        return Decimal(amount), currency, return_url

    def paid(self, text: str) -> str:
        """The customer has paid the order: where to go back to, with the receipt. Raises InvalidInput."""
        *receipt, return_url = self._read(text, self.ORDER)
        token = signing.dumps(receipt, salt=self.RECEIPT)
        return f"{return_url}{'&' if '?' in return_url else '?'}{urlencode({'token': token})}"

    def confirm(self, request: HttpRequest, organization: Organization | None = None) -> Payment:
        token = request.POST.get("token") or request.GET.get("token", "")
        of, amount, currency, reference = self._read(token, self.RECEIPT)
        if organization is not None and str(organization.pk) != of:
            raise InvalidInput.field("token", UNKNOWN)
        return payments.record(Organization.objects.get(pk=of), Decimal(amount), currency, self.name, reference,
                               request.user if request.user.is_authenticated else None)

    def _read(self, text: str, salt: str) -> list[str]:
        if "\0" in text:
            raise InvalidInput.field("token", UNKNOWN)
        try:
            return signing.loads(text, salt=salt, max_age=self.VALID_S)
        except signing.BadSignature as error:
            raise InvalidInput.field("token", UNKNOWN) from error
