"""Admin's navigation: every registered model once, in groups by what operators look for. A test holds it complete."""
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal import queries
from portal.kernel.models import Operation

GROUPS: tuple[tuple[Any, tuple[tuple[str, str], ...]], ...] = (
    (_("Operations & audit"), (
        ("kernel.Operation", "play_circle"), ("kernel.Hold", "lock"), ("kernel.AuditEvent", "history"),
        ("kernel.AuditChain", "link"),
        ("kernel.Resource", "category"))),
    (_("Compute"), (
        ("instances.Instance", "computer"), ("instances.InstanceSchedule", "schedule"),
        ("instances.LaunchTemplate", "note_stack"), ("hosts.Host", "dns"),
        ("hosts.Endpoint", "settings_ethernet"), ("monitoring.MeasuringPass", "monitoring"),
        ("hosts.Claim", "donut_large"), ("hosts.Verdict", "rule"), ("hosts.Discovered", "travel_explore"),
        ("console.ConsoleTicket", "terminal"),
        ("console.ConsoleLink", "visibility"), ("instances.SshKey", "key"), ("hosts.SshIdentity", "vpn_key"))),
    (_("Network"), (
        ("network.Vpc", "lan"), ("network.Subnet", "account_tree"), ("network.Port", "settings_input_component"),
        ("network.SecurityGroup", "shield"), ("network.FloatingIp", "public"), ("network.Allocation", "tag"),
        ("network.TrafficCount", "swap_vert"), ("network.Fabric", "hub"))),
    (_("Storage"), (
        ("storage.Volume", "hard_drive"), ("storage.Attachment", "link"), ("storage.Pool", "database"),
        ("storage.ImageCopy", "content_copy"), ("instances.Snapshot", "photo_camera"))),
    (_("Catalogue"), (
        ("kernel.Region", "map"), ("kernel.Zone", "grid_view"), ("instances.InstanceType", "memory"),
        ("storage.Image", "album"), ("network.AddressPool", "pin"))),
    (_("Billing"), (
        ("billing.Price", "sell"), ("billing.PriceBook", "menu_book"), ("billing.Terms", "handshake"),
        ("billing.UsageInterval", "timer"), ("billing.Counter", "speed"), ("billing.Outage", "power_off"),
        ("billing.Credit", "redeem"), ("billing.Voucher", "confirmation_number"),
        ("billing.VoucherUse", "done_all"), ("billing.Budget", "savings"), ("billing.BudgetAlarm", "notification_important"),
        ("billing.Invoice", "receipt_long"), ("billing.InvoiceMail", "outgoing_mail"),
        ("billing.ClosingFailure", "event_busy"), ("billing.InvoiceLine", "list_alt"),
        ("billing.Charge", "receipt"), ("billing.Payment", "payments"), ("billing.Entry", "account_balance"),
        ("billing.Dunning", "stairs"), ("billing.BillingProfile", "contact_mail"), ("billing.TaxRate", "percent"),
        ("billing.Issuer", "storefront"),
        ("billing.Series", "tag"), ("billing.Export", "download"), ("billing.ExportSchedule", "schedule_send"))),
    (_("Tenants"), (
        ("tenants.Organization", "apartment"), ("tenants.Project", "folder"),
        ("tenants.FormerPlace", "drive_file_move"), ("tenants.User", "person"),
        ("tenants.Group", "groups"), ("tenants.Role", "badge"),
        ("tenants.Binding", "assignment_ind"), ("tenants.Invitation", "forward_to_inbox"), ("auth.Group", "group"),
        ("tenants.Quota", "speed"), ("tenants.QuotaRequest", "request_quote"), ("tenants.ApiKey", "password"),
        ("tenants.ServiceUser", "smart_toy"), ("tenants.BreakGlass", "e911_emergency"),
        ("tenants.Impersonation", "theater_comedy"), ("webhooks.Webhook", "webhook"), ("webhooks.Delivery", "outbox"),
        ("notices.Letter", "mark_email_read"), ("notices.Notice", "notifications"),
        ("notices.Preferences", "notifications_active"))),
    (_("Site"), (
        ("tenants.Connection", "hub"), ("socialaccount.SocialAccount", "badge"),
        ("mfa.Authenticator", "phonelink_lock"), ("tenants.BrowserSession", "devices"),
        ("account.EmailAddress", "mail"), ("axes.AccessAttempt", "lock_clock"), ("axes.AccessFailureLog", "gpp_bad"),
        ("axes.AccessLog", "login"))),
)
# Pages that are no model's list: title, icon and names (the first is the way in), before the model whose viewers may look.
PAGES = {"billing.Invoice": (_("Revenue & reports"), "monitoring", (
    "billing_revenue", "billing_receivables", "billing_unbilled", "billing_closing", "billing_preview"))}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """What the asker may look at; a group of nothing is not shown."""
    groups = [{"title": title, "items": list(_items(request, models))} for title, models in GROUPS]
    first = {"title": None, "items": [{"title": _("Overview"), "icon": "monitoring", "link": reverse("admin:index")},
                                      {"title": _("To the portal"), "icon": "open_in_new", "link": reverse("dashboard"),
                                       "active": False}]}
    return [first, *(group for group in groups if group["items"])]


def _items(request: HttpRequest, models: Iterable[tuple[str, str]]) -> Iterable[dict[str, Any]]:
    for label, icon in models:
        model = apps.get_model(label)
        if may_see(request, model):
            is_aside = False
            if label in PAGES:
                title, of_page, names = PAGES[label]
                is_aside = request.resolver_match is not None and request.resolver_match.url_name in names
                yield {"title": title, "icon": of_page, "link": reverse(f"admin:{names[0]}"), "active": is_aside}
            link = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            yield {"title": _capital(model._meta.verbose_name_plural), "icon": icon, "link": link,
                   **({"active": False} if is_aside else {}), **(_badge() if model is Operation else {})}


def _capital(words: Any) -> str:
    text = str(words)
    return text[:1].upper() + text[1:]


def may_see(request: HttpRequest, model: type) -> bool:
    """Whether Django's permissions let the asker look at the model."""
    registered = admin.site._registry.get(model)
    return registered is not None and registered.has_view_permission(request)


def _badge() -> dict[str, str]:
    """How many operations need a person."""
    count = queries.needing_a_person().order_by()[:100].count()
    return {"badge": gettext("%(count)s stuck") % {"count": count}, "badge_variant": "danger"} if count else {}
