"""Telling people by mail that their webhook fails, once: whoever made it, or the organization's owners."""
from smtplib import SMTPException

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from tenants.models import User
from tenants.roles import codename
from tenants.webhooks.models import Webhook

log = structlog.get_logger(__name__)
AT_ONCE = 20


def tell() -> int:
    """Mail what is not told yet; how many webhooks. What the mail server does not take is tried again the next time."""
    untold = Webhook.objects.filter(Q(state=Webhook.State.FAILING) | Q(state=Webhook.State.DISABLED, is_gone=True),
                                    told_at=None, deleted_at=None)
    return sum(_tell(pk) for pk in list(untold.values_list("pk", flat=True)[:AT_ONCE]))


@transaction.atomic
def _tell(pk: object) -> bool:
    """The row is locked meanwhile, so that two clocks do not both write."""
    webhook = (Webhook.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk, told_at=None)
               .select_related("maker", "organization").first())
    if webhook is None:
        return False
    try:
        for person in listeners(webhook):
            _mail(person, webhook)
    except (SMTPException, OSError) as error:
        log.warning("webhooks.not_told", webhook=str(pk), error=type(error).__name__)
        return False
    Webhook.objects.filter(pk=pk).update(told_at=Now())
    return True


def listeners(webhook: Webhook) -> list[User]:
    """Its maker while they may still see it; otherwise the organization's owners."""
    maker = webhook.maker
    if maker is not None and maker.is_active and maker.email and maker.grants.allows("webhook.view", webhook):
        return [maker]
    owners = User.objects.filter(organizationuserbinding__content_object=webhook.organization_id, is_active=True,
                                 organizationuserbinding__permission__codename=codename("owner"))
    return [owner for owner in owners if owner.email]


def _mail(person: User, webhook: Webhook) -> None:
    with translation.override(person.language or settings.LANGUAGE_CODE):
        facts = {"name": webhook.name, "organization": webhook.organization.name,
                 "url": settings.SITE_URL + reverse("webhooks:detail", args=[webhook.pk])}
        gone = _("The receiver of the webhook “%(name)s” of %(organization)s answered that it is gone for good. The webhook was "
                 "disabled.") % facts
        failing = _("The webhook “%(name)s” of %(organization)s could not deliver an event for three days and gave it up. "
                    "Further events are tried all the same.") % facts
        text = f"{gone if webhook.is_gone else failing}\n\n{facts['url']}\n"
        send_mail(_("Webhook “%(name)s” fails") % facts, text, None, [person.email])
