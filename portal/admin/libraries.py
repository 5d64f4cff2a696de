"""The libraries' tables in the portal's dress: sign-ins and e-mail addresses. Read only, with the one act that operators
need: letting somebody in again who was locked out for too many wrong passwords.
"""
import allauth.account.admin  # noqa: F401  (registers what is replaced here)
import axes.admin  # noqa: F401
from allauth.account.models import EmailAddress
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from axes.utils import reset
from django.apps import apps
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from portal.kernel import audit
from portal.kernel.admin import ReadOnlyAdmin, act

# Their own names are not translated, and speak of “access”; the fields' as well.
WORDS = {"attempt_time": _("time"), "user_agent": _("browser"), "path_info": _("page"), "failures_since_start": _("failures"),
         "locked_out": _("locked out"), "logout_time": _("signed out"), "ip_address": _("address"), "username": _("user name")}
for model, words in ((AccessAttempt, (_("failed sign-in"), _("sign-ins failing now"))),
                     (AccessFailureLog, (_("failed sign-in"), _("failed sign-ins"))), (AccessLog, (_("sign-in"), _("sign-ins")))):
    model._meta.verbose_name, model._meta.verbose_name_plural = words
    for field in model._meta.fields:
        field.verbose_name = WORDS.get(field.name, field.verbose_name)
for label, words in (("axes", _("Site")), ("account", _("Site")), ("auth", _("Tenants"))):
    apps.get_app_config(label).verbose_name = words

admin.site.unregister([AccessAttempt, AccessFailureLog, AccessLog, EmailAddress])
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
