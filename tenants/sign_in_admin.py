"""Signing in, in admin: single sign-on is set up here, and sessions are ended."""
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from requests.exceptions import RequestException
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminURLInputWidget

from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin, act
from tenants import browsers
from tenants.models import BrowserSession, Connection, ConnectionDomain, User
from tenants.roles import LABELS
from tenants.single_sign_on.asking import checked_url


class ConnectionForm(forms.ModelForm):
    """The secret is written and never shown; left empty, it stays."""

    client_secret = forms.CharField(label=_("client secret"), required=False, strip=True, widget=UnfoldAdminPasswordWidget(
        attrs={"autocomplete": "new-password"}), help_text=_("Never shown again. Empty: it stays as it is."))
    issuer = forms.URLField(label=_("issuer"), max_length=300, assume_scheme="https", widget=UnfoldAdminURLInputWidget,
                            help_text=Connection._meta.get_field("issuer").help_text)
    role = forms.ChoiceField(label=_("role of new members"), required=False, widget=UnfoldAdminSelectWidget, choices=lambda: [
        ("", _("none")), *((name, label) for name, label in LABELS.items() if name != "owner")])

    class Meta:
        model = Connection
        fields = ("name", "slug", "issuer", "client_id", "client_secret", "organization", "role", "is_only", "proves_mfa",
                  "is_listed", "is_enabled")

    def clean_client_secret(self) -> str:
        return self.cleaned_data["client_secret"] or self.instance.client_secret

    def clean_issuer(self) -> str:
        try:
            return checked_url(self.cleaned_data["issuer"])
        except RequestException as error:
            raise ValidationError(_("An https address is needed: passwords and tokens go there.")) from error


class Domains(TabularInline):
    model = ConnectionDomain
    extra = 1
    hide_title = True
    fields = ("name",)


@admin.register(Connection)
class ConnectionAdmin(AuditedAdmin):
    """Operators' alone: whoever sets up a provider decides whom it signs in."""

    form = ConnectionForm
    list_display = ("name", "issuer", "organization", "domains_told", "is_only", "is_listed", "is_enabled")
    list_filter = ("is_enabled", "is_only", ("organization", AutocompleteSelectFilter))
    search_fields = ("name", "slug", "issuer", "domains__name")
    list_select_related = ("organization",)
    autocomplete_fields = ("organization",)
    ordering = ("name",)
    inlines = (Domains,)
    prepopulated_fields: dict[str, Any] = {}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("domains")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        https = {"assume_scheme": "https"} if db_field.name == "issuer" else {}
        return super().formfield_for_dbfield(db_field, request, **kwargs, **https)

    @display(description=_("e-mail domains"))
    def domains_told(self, row: Connection) -> str:
        return ", ".join(domain.name for domain in row.domains.all()) or "–"

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> tuple[str, ...]:
        """Accounts are known by what this issuer calls people: another one would call others the same."""
        return ("slug", "issuer") if obj else ()

    def has_view_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        return request.user.is_superuser

    has_change_permission = has_delete_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not form.instance.domains.exists():
            messages.warning(request, _("Without an e-mail domain it only makes new accounts, and signs nobody in to one that "
                                        "there is."))

    def delete_model(self, request: HttpRequest, obj: Connection) -> None:
        SocialAccount.objects.filter(provider=str(obj.pk)).delete()
        super().delete_model(request, obj)


@admin.register(BrowserSession)
class BrowserSessionAdmin(ReadOnlyAdmin):
    """Never its key nor what it holds: who had them would be signed in."""

    list_display = ("user", "device", "address", "created_at", "last_seen_at", "expire_date")
    list_filter = (("user", AutocompleteSelectFilter), ("last_seen_at", admin.DateFieldListFilter))
    search_fields = ("user__username", "agent")
    identifiers = ("pk", "user_id")
    list_select_related = page_related = ("user",)
    ordering = ("-last_seen_at",)
    fields = ("user", "device", "agent", "address", "created_at", "last_seen_at", "expire_date")
    readonly_fields = ("device",)
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(user__isnull=False).defer("session_key", "session_data")

    def name_of(self, row: BrowserSession) -> str:
        return f"{row.user} – {browsers.device(row.agent)}"

    @display(description=_("browser"))
    def device(self, row: BrowserSession) -> str:
        return browsers.device(row.agent)

    @act(_("Sign out"), confirm=_("Its next request is refused."))
    def end(self, row: BrowserSession, actor: User) -> None:
        browsers.end(row, actor=actor)
