"""Verbs on webhooks and their deliveries. The caller has checked access."""
import base64
import binascii
import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from portal.kernel import audit
from portal.kernel.errors import InvalidInput, QuotaExceeded, StateConflict
from portal.kernel.operations.doorbell import ring_task
from portal.kernel.states import database_now
from tenants.models import Organization, Project, User
from tenants.webhooks import dispatch, events
from tenants.webhooks.addresses import UrlRefused, parse
from tenants.webhooks.delivery import PREFIX
from tenants.webhooks.models import Delivery, Webhook

MOST_WEBHOOKS = 20
"""Of an organization, those of its projects among them."""
OVERLAP = timedelta(hours=24)
SECRET_BYTES, SHORTEST, LONGEST = 32, 24, 64


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@transaction.atomic
def create_webhook(organization: Organization, *, name: str, url: str, patterns: list[str], actor: User,
                   project: Project | None = None, description: str = "", secret: str = "") -> tuple[Webhook, str]:
    """The webhook and its secret, which is not shown again. Raises InvalidInput for an address, pattern or secret that cannot
    be, QuotaExceeded beyond MOST_WEBHOOKS, Forbidden where a pattern hears of acts that the actor may not see."""
    if project is not None and project.organization_id != organization.pk:
        raise InvalidInput.field("project", _("The project belongs to another organization."))
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    used = Webhook.objects.filter(organization=organization, deleted_at=None).count()
    if used >= MOST_WEBHOOKS:
        raise QuotaExceeded(resource="webhooks", scope=organization.name, limit=MOST_WEBHOOKS, used=used, wanted=1)
    webhook = Webhook.objects.create(
        organization=organization, project=project, name=name, description=description, url=_checked_url(url),
        events=_checked_patterns(patterns, project or organization, actor),
        secret=_checked_secret(secret) if secret else new_secret(), maker=actor)
    audit.record("webhook.create", webhook, actor=actor, after=_told(webhook))
    return webhook, webhook.secret


@transaction.atomic
def change_webhook(webhook: Webhook, *, actor: User, **values: Any) -> Webhook:
    """Set name, description, url, events or enabled. Enabled again, what waited is sent. Raises InvalidInput and
    Forbidden, as `create_webhook`."""
    row = _locked(webhook)
    before = _told(row)
    enabled = values.pop("enabled", None)
    if "url" in values:
        values["url"] = _checked_url(values["url"])
    if "events" in values:
        values["events"] = _checked_patterns(values["events"], row.project or row.organization, actor)
    if enabled is False:
        values["state"] = Webhook.State.DISABLED
    elif enabled and row.state == Webhook.State.DISABLED:
        values |= {"state": Webhook.State.ENABLED, "is_gone": False, "told_at": None}
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=[*values, "updated_at"])
    audit.record("webhook.change", row, actor=actor, before=before, after=_told(row))
    ring_task(events.DELIVER, events.QUEUE)
    return row


@transaction.atomic
def rotate_secret(webhook: Webhook, *, actor: User) -> tuple[Webhook, str]:
    """A new secret, which is not shown again. The one before signs too for OVERLAP; one before that no longer does."""
    row = _locked(webhook)
    row.previous_secret, row.previous_until, row.secret = row.secret, database_now() + OVERLAP, new_secret()
    row.save(update_fields=["secret", "previous_secret", "previous_until", "updated_at"])
    audit.record("webhook.rotate", row, actor=actor, after={"previous_until": row.previous_until})
    return row, row.secret


@transaction.atomic
def delete_webhook(webhook: Webhook, *, actor: User | None) -> None:
    """Nothing is sent any more, nobody sees it, and its secrets are gone; again is success."""
    changed = Webhook.objects.filter(pk=webhook.pk, deleted_at=None).update(
        deleted_at=Now(), state=Webhook.State.DISABLED, secret="", previous_secret="", previous_until=None)
    if changed:
        audit.record("webhook.delete", webhook, actor=actor, before=_told(webhook))


def end_with_project(project: Project, actor: User | None) -> None:
    """A project is being deleted: its webhooks go with it."""
    for webhook in Webhook.objects.filter(project=project, deleted_at=None).select_related("organization", "project"):
        delete_webhook(webhook, actor=actor)


def end_with_organization(organization: Organization, actor: User | None) -> None:
    """An organization is being deleted: what it alone is told goes with it."""
    for webhook in Webhook.objects.filter(organization=organization, deleted_at=None).select_related("organization", "project"):
        delete_webhook(webhook, actor=actor)


@transaction.atomic
def send_test(webhook: Webhook, *, actor: User) -> Delivery:
    """An event to try the receiver with: sent once. Raises StateConflict while the webhook is disabled."""
    _require_sending(webhook)
    audit.record("webhook.test", webhook, actor=actor)
    return events.test_event(webhook)


@transaction.atomic
def resend(delivery: Delivery, *, actor: User) -> Delivery:
    """Send the event again, under the same id. Raises StateConflict while the webhook is disabled."""
    _require_sending(delivery.webhook)
    dispatch.resend(delivery)
    audit.record("webhook.resend", delivery, actor=actor, after={"webhook": delivery.webhook_id})
    ring_task(events.DELIVER, events.QUEUE)
    delivery.refresh_from_db(fields=["state", "tries", "next_at", "finished_at", "token", "lease_until"])
    return delivery


def _locked(webhook: Webhook) -> Webhook:
    rows = Webhook.objects.select_for_update(no_key=True, of=("self",)).select_related("organization", "project")
    return rows.get(pk=webhook.pk)


def _require_sending(webhook: Webhook) -> None:
    if not webhook.is_sending:
        raise StateConflict(state=webhook.state)


def _told(webhook: Webhook) -> dict[str, Any]:
    """For the audit trail, which more people read than may see the address: its host."""
    return {"name": webhook.name, "host": parse_host(webhook.url), "events": webhook.events, "state": str(webhook.state)}


def parse_host(url: str) -> str:
    """Where the address leads, without the path, which often carries a secret; empty for one that is refused by now."""
    try:
        return parse(url).authority
    except UrlRefused:
        return ""


def _checked_url(url: str) -> str:
    try:
        return parse(url).url
    except UrlRefused as error:
        raise InvalidInput.field("url", str(error)) from error


def _checked_patterns(patterns: list[str], scope: Organization | Project, actor: User) -> list[str]:
    chosen = list(dict.fromkeys(patterns))
    if not chosen or len(chosen) > events.MOST_PATTERNS:
        raise InvalidInput.field("events", _("Between 1 and {most} patterns.").format(most=events.MOST_PATTERNS))
    for pattern in chosen:
        if not events.is_pattern(pattern) or not events.can_happen(pattern):
            text = _("No event matches “{pattern}”.").format(pattern=pattern[:events.LONGEST_PATTERN])
            raise InvalidInput.field("events", text)
    if any(map(events.hears_audit, chosen)) and not actor.grants.allows("audit.view", scope):
        raise actor.grants.refusal("audit.view", scope).about(scope)
    return chosen


def _checked_secret(text: str) -> str:
    """One that the caller brings, as Standard Webhooks spells them."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise InvalidInput.field("secret", _("whsec_ and 24 to 64 random bytes in base64."))
    return text
