"""The libraries' tables in the portal's dress: sign-ins, e-mail addresses, second factors, accounts at providers. Read only, with
the one act that operators need: letting somebody in again who was locked out for too many wrong passwords.
"""
import allauth.account.admin
import allauth.mfa.admin
import allauth.socialaccount.admin  # noqa: F401
import axes.admin  # noqa: F401
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from axes.utils import reset
from django.apps import apps
from django.contrib import admin
from django.db.models import CharField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from portal.kernel import audit
from portal.kernel.admin import ReadOnlyAdmin, act
from tenants.models import Connection

# Their own names are not translated, and speak of “access”; the fields' as well.
WORDS = {"attempt_time": _("time"), "user_agent": _("browser"), "path_info": _("page"), "failures_since_start": _("failures"),
         "locked_out": _("locked out"), "logout_time": _("signed out"), "ip_address": _("address"), "username": _("user name")}
for model, words in ((AccessAttempt, (_("failed sign-in"), _("sign-ins failing now"))),
                     (AccessFailureLog, (_("failed sign-in"), _("failed sign-ins"))), (AccessLog, (_("sign-in"), _("sign-ins")))):
    model._meta.verbose_name, model._meta.verbose_name_plural = words
    for field in model._meta.fields:
        field.verbose_name = WORDS.get(field.name, field.verbose_name)
for model, words in ((Authenticator, (_("second factor"), _("second factors"))),
                     (SocialAccount, (_("account at a provider"), _("accounts at providers")))):
    model._meta.verbose_name, model._meta.verbose_name_plural = words
for label, words in (("axes", _("Site")), ("account", _("Site")), ("auth", _("Tenants")), ("mfa", _("Site")),
                     ("socialaccount", _("Site"))):
    apps.get_app_config(label).verbose_name = words

admin.site.unregister([AccessAttempt, AccessFailureLog, AccessLog, EmailAddress, Authenticator, SocialAccount, SocialApp,
                       SocialToken])
WHO = ("attempt_time", "username", "ip_address", "path_info", "user_agent")


class SignInAdmin(ReadOnlyAdmin):
    """What was sent with a sign-in is of no use to anybody; who and from where is."""

    search_fields = ("username", "ip_address")
    identifiers = ()
    ordering = ("-attempt_time",)


@admin.register(AccessAttempt)
class AccessAttemptAdmin(SignInAdmin):
    list_display = (*WHO[:4], "failures_since_start")
    list_filter = (("attempt_time", admin.DateFieldListFilter),)
    fields = (*WHO, "failures_since_start")
    actions = ("unlock",)

    @act(_("Let in again"), confirm=_("The failures are forgotten; they may try again at once."))
    def unlock(self, row: AccessAttempt, actor) -> None:
        audit.record("user.unlock", row, actor=actor, after={"username": row.username, "address": row.ip_address})
        reset(username=row.username, ip=row.ip_address)


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(SignInAdmin):
    list_display = (*WHO[:4], "locked_out")
    list_filter = ("locked_out", ("attempt_time", admin.DateFieldListFilter))
    fields = (*WHO, "locked_out")


@admin.register(AccessLog)
class AccessLogAdmin(SignInAdmin):
    list_display = (*WHO[:4], "logout_time")
    list_filter = (("attempt_time", admin.DateFieldListFilter),)
    fields = (*WHO, "logout_time")


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    list_display = ("email", "user", "primary", "verified")
    list_filter = ("primary", "verified")
    search_fields = ("email", "user__username")
    identifiers = ("user_id",)
    list_select_related = ("user",)
    ordering = ("email",)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Never what it holds. An act on the user's page removes all of somebody's."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    search_fields = ("user__username",)
    identifiers = ("user_id",)
    list_select_related = ("user",)
    ordering = ("-created_at",)
    fields = ("user", "type", "created_at", "last_used_at")


@admin.register(SocialAccount)
class SocialAccountAdmin(ReadOnlyAdmin):
    """Who comes through which provider, and what it calls them."""

    list_display = ("user", "connection", "uid", "date_joined", "last_login")
    list_filter = (("last_login", admin.DateFieldListFilter),)
    search_fields = ("user__username", "uid")
    identifiers = ("user_id",)
    list_select_related = ("user",)
    ordering = ("-last_login",)
    fields = ("user", "connection", "uid", "date_joined", "last_login")
    readonly_fields = ("connection",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        named = Connection.objects.annotate(text=Cast("pk", CharField())).filter(text=OuterRef("provider")).values("name")
        return super().get_queryset(request).annotate(connection_name=Subquery(named[:1]))

    @display(description=_("single sign-on"), empty_value="–")
    def connection(self, row: SocialAccount) -> str | None:
        return row.connection_name
