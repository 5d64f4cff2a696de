"""What templates draw with: icons, badges, amounts, times, words for codes. Built in: no template loads it.

Nothing here decides access. Every tag escapes what it is given.
"""
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlencode

from django import template
from django.apps import apps
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.forms import BoundField
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.templatetags.money import cents, money, moneys, price
from compute.instances.models import WatchdogAction
from portal.kernel.declarations import registry
from portal.kernel.errors import PortalError, QuotaExceeded, classes_by_code
from portal.kernel.models import Operation
from portal.kernel.operations import kinds
from portal.kernel.states import label_of

register = template.Library()
register.filter("money", money)
register.filter("moneys", moneys)
register.filter("cents", cents)
register.filter("price", price)

SPRITE = "vendor/tabler-icons-3.51.0/sprite.svg"
OPERATION_TONES = {"queued": "busy", "running": "busy", "succeeded": "ok", "failed": "bad", "cancelled": "off"}
# States as errors carry them, under the labels that badges show.
STATE_WORDS = {"building": "Building", "starting": "Starting", "running": "Running", "stopping": "Stopping",
               "stopped": "Stopped", "rebooting": "Rebooting", "pausing": "Pausing", "paused": "Paused",
               "suspending": "Suspending", "suspended": "Suspended", "resuming": "Resuming", "resizing": "Resizing",
               "copying": "Copying",
               "rescuing": "Rescuing", "rescued": "Rescued", "unrescuing": "Leaving rescue", "rebuilding": "Rebuilding",
               "recycling": "Recycling", "recycled": "Recycled", "restoring": "Restoring", "error": "Error",
               "deleting": "Deleting", "deleted": "Deleted", "allocating": "Allocating", "idle": "Idle",
               "associating": "Associating", "attached": "Attached", "disassociating": "Disassociating", "released": "Released",
               "succeeded": "Succeeded", "failed": "Failed", "cancelled": "Cancelled"}
# Words for what audit events tell of.
CHANGED = {"name": _("Name"), "description": _("Description"), "tags": _("Tags"), "address": _("Address"), "cidr": _("Range"),
           "gateway": _("Gateway"), "groups": _("Security groups"), "rule": _("Rule"), "remote": _("From or to"),
           "reason": _("Reason"), "console": _("Console"), "view_only": _("Look only"), "takes_over": _("Taken over"),
           "minutes": _("Minutes"), "seconds": _("Seconds"), "fingerprint": _("Fingerprint"),
           "state": _("State"), "type": _("Size"),
           "image": _("Image"), "is_for_rescue": _("For rescue"), "ip": _("Address"), "port": _("Port"), "rules": _("Rules"),
           "does": _("What is done then"), "watchdog": _("Watchdog"), "file": _("File"),
           "made of": _("Made of"), "clone of": _("Clone of"), "host said": _("The host said"), "why": _("Why"),
           "root_disk_gib": _("Root disk (GiB)"), "force": _("At once"), "mac": _("MAC address"),
           "user": _("User"), "version": _("Version"), "default_version": _("Default version"), "count": _("How many"),
           "zone": _("Zone"), "subnets": _("Subnets"), "security_groups": _("Security groups"), "ssh_keys": _("SSH keys"),
           "public_keys": _("Public keys"), "floating_ip": _("Floating IP"), "user_data": _("User data"),
           "instance_name": _("Name of the instances"), "instance_description": _("Description of the instances"),
           "instance_tags": _("Tags of the instances")}
# Why a console ended, where no error says it.
ENDINGS = {"left": _("Left by the user"), "ended": _("Ended by somebody else"), "too_long": _("Open for too long"),
           "deactivated": _("The account was deactivated"), "signed_out": _("Signed out"),
           "key_revoked": _("The API key does not hold any more"), "deleted": _("The instance was deleted"),
           "restarted": _("The instance was started anew"), "not_running": _("The instance did not run any more"),
           "link_revoked": _("The link was revoked"), "link_expired": _("The link expired"),
           "link_without_maker": _("Who made the link may not let others look any more"),
           "unwanted": _("The browser sent what is not understood"), "not_rfb": _("The browser sent what is not understood"),
           "no_opening": _("The browser did not begin"), "screen_gone": _("The screen ended"),
           "stalled": _("The browser did not keep up"), "unavailable": _("The portal could not be reached")}
WATCHDOGS = dict(WatchdogAction.choices)
OUTCOMES = {"done": "ok", "undone": "off"}
ACTS = {
    "instance.update": _("Change instance"), "instance.power_followed": _("Followed the power of the guest"),
    "instance.crashed": _("Instance crashed"), "instance.halted": _("Instance halted by its host"),
    "ssh_key.update": _("Change SSH key"), "volume.update": _("Change volume"), "image.update": _("Change image"),
    "image.rescue": _("Offer image for rescue"), "image.create": _("Create image"), "image.retire": _("Delete image"),
    "sshkey.create": _("Add SSH key"), "sshkey.delete": _("Delete SSH key"),
    "apikey.create": _("Create API key"), "apikey.revoke": _("Revoke API key"),
    "apikey.rotate": _("New secret of API key"), "apikey.end_previous": _("End old secret of API key"),
    "apikey.use": _("Use API key"), "apikey.expiring": _("API key expires soon"),
    "service_user.create": _("Create service user"), "service_user.change": _("Change service user"),
    "service_user.activate": _("Activate service user"), "service_user.deactivate": _("Deactivate service user"),
    "service_user.delete": _("Delete service user"),
    "connection.create": _("Set up single sign-on"), "connection.change": _("Change single sign-on"),
    "connection.delete": _("Remove single sign-on"), "connectiondomain.create": _("Add domain to single sign-on"),
    "connectiondomain.change": _("Change domain of single sign-on"),
    "connectiondomain.delete": _("Take domain from single sign-on"),
    "break_glass.open": _("Open emergency access"), "break_glass.end": _("End emergency access"),
    "impersonation.start": _("Begin to act as a user"), "impersonation.end": _("Stop acting as a user"),
    "project.create": _("Create project"), "project.change": _("Change project"), "project.quotas": _("Set quotas"),
    "organization.quotas": _("Set quotas"), "quota.request": _("Ask for a higher limit"), "quota.grant": _("Raise a limit"),
    "quota.refuse": _("Refuse a higher limit"), "quota.withdraw": _("Withdraw a request"),
    "project.move": _("Move project"), "project.archive": _("Archive project"), "project.unarchive": _("Unarchive project"),
    "project.delete": _("Delete project"), "organization.delete": _("Delete organization"),
    "organization.suspend": _("Suspend organization"), "organization.resume": _("Resume organization"),
    "organization.create": _("Create organization"), "organization.change": _("Change organization"),
    "organization.transfer": _("Hand over organization"), "member.bind": _("Give role"), "member.unbind": _("Take role away"),
    "member.remove": _("Remove member"), "member.leave": _("Leave organization"), "user.delete": _("Delete account"),
    "user.notifications": _("Change notifications"), "user.new_browser": _("Sign in with a new browser"),
    "invitation.create": _("Invite"), "invitation.resend": _("Send invitation again"),
    "invitation.revoke": _("Revoke invitation"), "invitation.accept": _("Accept invitation"),
    "group.create": _("Create group"), "group.change": _("Rename group"),
    "group.delete": _("Delete group"), "group.add": _("Add to group"), "group.remove": _("Take out of group"),
    "role.create": _("Create role"), "role.change": _("Change role"), "role.delete": _("Delete role"),
    "console.open": _("Open console"), "console.close": _("Close console"),
    "console.end": _("End console of somebody"), "console.link": _("Make link to look at console"),
    "console.unlink": _("Revoke link to console"),
    "operation.cancel": _("Cancel operation"), "operation.retry": _("Retry operation"),
    "instance.watchdog": _("Set watchdog"), "instance.watchdog_fired": _("Guest hangs: watchdog not fed"),
    "instance.restarted": _("Guest restarted by itself"), "volume.file_lost": _("File of volume is gone"),
    "volume.file_found": _("File of volume is there again"),
    "instance.lock": _("Lock instance"), "instance.unlock": _("Unlock instance"),
    "instance.protect": _("Protect instance against deletion"), "instance.unprotect": _("Let instance be deleted"),
    "instance_schedule.create": _("Create schedule"), "instance_schedule.change": _("Change schedule"),
    "instance_schedule.delete": _("Delete schedule"), "instance_schedule.run": _("Run schedule"),
    "instance_schedule.refuse": _("Refuse to run schedule"), "instance_schedule.disable": _("Disable schedule"),
    "launch_template.create": _("Create launch template"), "launch_template.update": _("Change launch template"),
    "launch_template.save": _("Save version of launch template"),
    "launch_template.default": _("Choose default version of launch template"),
    "launch_template.delete": _("Delete launch template"),
    "snapshot.create": _("Take snapshot"), "snapshot.update": _("Change snapshot"), "snapshot.revert": _("Revert to snapshot"),
    "snapshot.delete": _("Delete snapshot"),
    "host.add": _("Add host"), "host.key": _("Learn host key"), "host.maintenance": _("Host maintenance"),
    "price.set": _("Set price"), "terms.set": _("Set terms"), "outage.record": _("Record outage"),
    "budget.create": _("Create budget"), "budget.change": _("Change budget"), "budget.delete": _("Delete budget"),
    "budget.alarm": _("Budget reached"), "budget.forecast": _("Budget will be reached"),
    "voucher.create": _("Make voucher"), "voucher.withdraw": _("Withdraw voucher"), "voucher.redeem": _("Redeem voucher"),
    "credit.grant": _("Grant credit"), "credit.low": _("Warn that credit ends"),
    "dunning.remind": _("Remind of unpaid bills"), "dunning.block": _("Block what is new: unpaid"),
    "dunning.stop": _("Stop instances: unpaid"), "dunning.recycle": _("To be deleted: unpaid"),
    "dunning.lower": _("Go a step down the ladder"), "dunning.lift": _("Leave the ladder"), "dunning.hold": _("Hold the ladder"),
    "billing_profile.change": _("Change billing profile"), "invoice.issue": _("Issue invoice"),
    "invoice.credit_note": _("Issue credit note"), "invoice.write_off": _("Write off invoice"),
    "invoice.adjust": _("Adjust next invoice"), "invoice.rerate": _("Rate month anew"),
    "invoice.send": _("Mail invoice again"),
    "export.create": _("Export"), "export.link": _("Make link to export"), "export.download": _("Download export"),
    "export.deliver": _("Deliver export"), "export_schedule.create": _("Schedule exports"),
    "export_schedule.change": _("Change export schedule"), "export_schedule.delete": _("Delete export schedule"),
    "payment.record": _("Record payment"), "payment.refund": _("Refund"),
    "vpc.create": _("Create VPC"), "vpc.update": _("Change VPC"), "vpc.delete": _("Delete VPC"),
    "subnet.create": _("Add subnet"), "subnet.update": _("Change subnet"), "subnet.delete": _("Delete subnet"),
    "port.create": _("Add port"), "port.update": _("Change port"), "port.delete": _("Delete port"),
    "port.security_groups": _("Change security groups of a port"),
    "security_group.create": _("Create security group"), "security_group.update": _("Change security group"),
    "security_group.delete": _("Delete security group"), "security_group.rule_add": _("Add security group rule"),
    "security_group.rule_delete": _("Delete security group rule"),
    "floating_ip.allocate": _("Allocate floating IP"), "floating_ip.update": _("Change floating IP"),
    "floating_ip.release": _("Release floating IP"), "fabric.compare": _("Compare the network with its plan"),
}


@register.simple_tag
@lru_cache(maxsize=1000)  # a page has some two hundred
def icon(name: str, kind: str = "") -> SafeString:
    """An icon of the sprite; decoration only, so hidden from screen readers."""
    return format_html('<svg class="icon {}" width="20" height="20" aria-hidden="true" focusable="false">'
                       '<use href="{}#{}"/></svg>',
                       kind, static(SPRITE), name)


@register.simple_tag
def named(name: str, url: str = "", pk: Any = None) -> SafeString:
    """A row's name, leading to its page, with a button that copies its id. A tag, since lists have fifty of them."""
    label = gettext("Copy id")
    link = format_html('<a class="name" href="{}" title="{}">{}</a>', url, name, name) if url else format_html(
        '<span class="name" title="{}">{}</span>', name, name)
    copy = format_html('<button type="button" class="copy needs-script" data-copy="{}" aria-label="{}" title="{}">{}</button>',
                       pk, label, label, icon("copy")) if pk else ""
    return format_html('<span class="named">{}{}</span>', link, copy)


@register.simple_tag
def project_cell(row: Any, chosen: Any = None) -> SafeString | str:
    """The row's project and organization; nothing when one project is looked at."""
    if chosen:
        return ""
    project, organization = row.project.name, row.project.organization.name
    return format_html('<td class="wide-only" title="{} · {}"><div class="clip">{}</div><div class="sub clip">{}</div></td>',
                       project, organization, project, organization)


@register.simple_tag
def badge(row: Any) -> SafeString:
    """The row's state: a dot of its tone and its label, never the colour alone."""
    tones = getattr(row, "TONES", OPERATION_TONES)
    label = label_of(row)
    if isinstance(row, Operation) and row.is_live and row.undoing:
        label = gettext("Undoing")
    return status(tones.get(row.state, "off"), label)


@register.simple_tag
def status(tone: str, label: str) -> SafeString:
    """A dot and a text. Tones: ok, busy, warn, bad, off."""
    return format_html('<span class="state state-{}"><span class="state-dot" aria-hidden="true"></span>{}</span>',
                       tone, label)


@register.filter
def gib(mib: int) -> str:
    """MiB as people say it: 512 MiB, 4 GiB, 23.54 GiB."""
    if mib < 1024:
        return f"{formats.number_format(mib, force_grouping=True)} MiB"
    rounded = f"{Decimal(mib) / 1024:.2f}".rstrip("0").rstrip(".")
    return f"{formats.number_format(Decimal(rounded))} GiB"


@register.filter
def bytesize(count: int) -> str:
    """Bytes as people say them, in the units of the whole portal: 256 MiB, 225.8 GiB."""
    return gib(round(count / 2**20))


@register.filter
def since(moment: datetime | None) -> SafeString | str:
    """How long ago, with the exact time as a tooltip."""
    if moment is None:
        return "–"
    exact = formats.date_format(timezone.localtime(moment), "Y-m-d H:i:s")
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', moment.isoformat(), exact, naturaltime(moment))


@register.filter
def lasted(operation: Operation) -> str:
    """How long an operation took, or has taken so far."""
    if operation.started_at is None:
        return "–"
    seconds = max(0, ((operation.finished_at or timezone.now()) - operation.started_at).total_seconds())
    if seconds < 60:
        return gettext("%(seconds)s s") % {"seconds": formats.number_format(round(seconds, 1))}
    return gettext("%(minutes)s min %(seconds)s s") % {"minutes": int(seconds // 60), "seconds": int(seconds % 60)}


@register.filter
def kind_label(kind: str) -> str:
    """An operation kind or audited act in words."""
    if kind in kinds:
        return str(kinds[kind].label)
    permission = registry.permissions.get(kind)  # what a refused attempt was about
    return str(ACTS.get(kind) or (permission.label if permission else kind))


@register.filter
def kind_icon(kind: str) -> str:
    declared = registry.kinds.get(kind)
    return declared.icon if declared else "box"


@register.filter
def resource_kind(kind: str) -> str:
    """The label of a kind of resource, or of whatever else the audit trail names as its target."""
    declared = registry.kinds.get(kind)
    return str(declared.label if declared else _model_names().get(kind, kind))


@cache
def _model_names() -> dict[str, Any]:
    return {model._meta.model_name: model._meta.verbose_name for model in apps.get_models()}


@register.filter
def meter_label(meter: str) -> str:
    declared = registry.meters.get(meter)
    return str(declared.label) if declared else meter


@register.filter
def dimension_label(dimension: str) -> str:
    declared = registry.dimensions.get(dimension)
    return str(declared.label) if declared else dimension


@register.filter
def dimension_unit(dimension: str) -> str:
    declared = registry.dimensions.get(dimension)
    return str(declared.unit) if declared else ""


@register.filter
def asks_for_more(error: PortalError) -> str:
    """Where a higher limit is asked for, when the error is that one is reached; else empty."""
    facts = error.facts
    if error.code != QuotaExceeded.code or "scope_id" not in facts:
        return ""
    query = {"scope": facts["scope_id"], "resource": facts["resource"], "region": facts["region"] or ""}
    return f"{reverse('quota_requests:create')}?{urlencode(query)}"


@register.filter
def has(values: Any, wanted: object) -> bool:
    """Whether a multiple choice holds the value."""
    return str(wanted) in {str(getattr(value, "pk", value)) for value in values or ()}


@register.filter
def tone_of(row: Any) -> str:
    """The tone of the row's state."""
    return getattr(row, "TONES", OPERATION_TONES).get(row.state, "off")


@register.filter
def changes_of(event: Any) -> list[str]:
    """What an audited act changed, a line a field: `name: old → new`; what was not there before is told alone."""
    before, after = event.before or {}, event.after or {}
    told = [(name, before.get(name), after.get(name)) for name in {**before, **after}]
    if "reason" in after:
        told = [(name, was, reason_of(event) if name == "reason" else now) for name, was, now in told]
    told = [(name, WATCHDOGS.get(was, was), WATCHDOGS.get(now, now)) if name in ("does", "watchdog") else (name, was, now)
            for name, was, now in told]
    return [f"{CHANGED.get(name, name)!s}: {_told(was)} → {_told(now)}" if name in before and name in after
            else f"{CHANGED.get(name, name)!s}: {_told(now if name in after else was)}" for name, was, now in told]


def reason_of(event: Any) -> Any:
    """Why, in words where the portal wrote a code; what a person wrote stays as it is."""
    reason = event.after["reason"]
    if not isinstance(reason, str) or not (event.result == "refused" or event.action == "console.close"):
        return reason
    if reason in ENDINGS:
        return str(ENDINGS[reason])
    declared = classes_by_code().get(reason)
    return str(declared.title) if declared else reason


def _told(value: Any) -> str:
    """A value of an audit event as people read it, never longer than a line or two."""
    if isinstance(value, dict):
        text = ", ".join(f"{name}: {_told(one)}" for name, one in value.items())
    elif isinstance(value, list):
        text = ", ".join(map(_told, value))
    elif isinstance(value, bool):
        text = gettext("yes") if value else gettext("no")
    else:
        text = "" if value is None else str(value)
    return gettext(STATE_WORDS[text]) if text in STATE_WORDS else text[:200] or "–"


@register.filter
def steps_of(operation: Operation) -> list[dict[str, str]]:
    """The plan with what became of each step: done, undone, failed, current, waiting."""
    outcomes = {entry["step"]: entry["outcome"] for entry in operation.history}
    labels = kinds[operation.kind].step_labels if operation.kind in kinds else {}
    return [{"name": name, "label": str(labels.get(name, name)),
             "state": _step_state(operation, index, outcomes.get(name))} for index, name in enumerate(operation.plan)]


def _step_state(operation: Operation, index: int, outcome: str | None) -> str:
    if operation.is_live and index == operation.step:
        return "undoing" if operation.undoing else "current"
    if outcome in OUTCOMES:
        return outcome
    return "failed" if outcome else "waiting"


@register.filter
def error_text(row: dict[str, Any] | None) -> str:
    """A stored error in the reader's language: its code and facts say what its text was then."""
    if not row:
        return ""
    declared = classes_by_code().get(row.get("code", ""))
    if declared is None or row["code"] == PortalError.code:
        return gettext("An unexpected fault; the operators have been told.")
    return declared.said(_in_words(row.get("facts", {}))) or str(row.get("detail") or declared.title)


@register.filter
def explain(error: PortalError) -> str:
    """An error of this request, with its facts in words instead of codes."""
    if error.code == PortalError.code:
        return error_text(error.as_row())
    return error.said(_in_words(error.as_row()["facts"])) or error.detail


def _in_words(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts are codes; people read labels."""
    return {name: _word(name, value) for name, value in facts.items()}


def _word(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return value
    if name == "holder_kind":
        return kind_label(value)
    if name == "resource":
        return dimension_label(value)
    if name == "permission" and value in registry.permissions:
        return str(registry.permissions[value].label)
    # States and drivers' reasons are translated sentences or words themselves.
    return gettext(STATE_WORDS.get(value, value))


@register.filter
def may(user: Any, permission: str) -> bool:
    """Whether some project grants it: for showing buttons, never for deciding."""
    return user.is_authenticated and user.grants.may_anywhere(permission)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: object) -> str:
    """This page's query string with some values changed (None removes)."""
    request: HttpRequest = context["request"]
    values = request.GET.copy()
    values.pop("project", None)
    for name, value in changes.items():
        if value in (None, ""):
            values.pop(name, None)
        else:
            values[name] = str(value)
    return f"?{values.urlencode()}" if values else "?"


@register.simple_tag
def control(field: BoundField, kind: str = "form-control") -> SafeString:
    """A form field's input, marked invalid and tied to its help and errors."""
    described = " ".join(filter(None, (f"{field.auto_id}_help" if field.help_text else "",
                                       f"{field.auto_id}_error" if field.errors else "")))
    attributes = {"class": f"{kind} is-invalid" if field.errors else kind}
    if field.errors:
        attributes["aria-invalid"] = "true"
    if described:
        attributes["aria-describedby"] = described
    if type(field.form).__module__.startswith("allauth."):  # its placeholders say the labels again
        attributes["placeholder"] = False
    return field.as_widget(attrs=attributes)


class CaptureNode(template.Node):
    """Renders its inside once into a variable, so that a page's title can be said in two places."""

    def __init__(self, nodelist: template.NodeList, name: str) -> None:
        self.nodelist, self.name = nodelist, name

    def render(self, context: template.Context) -> str:
        context[self.name] = self.nodelist.render(context)
        return ""


@register.tag
def capture(parser: template.base.Parser, token: template.base.Token) -> CaptureNode:
    """`{% capture title %}…{% endcapture %}`"""
    _tag, name = token.split_contents()
    nodelist = parser.parse(("endcapture",))
    parser.delete_first_token()
    return CaptureNode(nodelist, name)
