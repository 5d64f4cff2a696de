"""Tenants in admin: who is who, who is bound to what, how much they may have. What gives rights over the whole site is the
superusers' alone, so that staff cannot raise itself.
"""
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.auth.models import Permission
from django.db.models import CharField, Count, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, PaginationInlineFormSet, UserChangeForm, UserCreationForm

from portal.kernel import audit
from portal.kernel.admin import ALREADY, AuditedAdmin, ReadOnlyAdmin, act
from portal.kernel.admin.keys import AsksForKeys
from tenants import browsers, factors, operators_admin, people, people_admin, sign_in_admin
from tenants.errors import LastOwner
from tenants.models import (
    ApiKey,
    FormerPlace,
    Organization,
    OrganizationGroupBinding,
    OrganizationUserBinding,
    Project,
    ProjectGroupBinding,
    ProjectUserBinding,
    Role,
    User,
)
from tenants.operations import create_project, revoke_api_key
from tenants.quota_admin import OrganizationQuotas, ProjectQuotas
from tenants.roles import LABELS, PREFIX, codename, role_of
from tenants.structure import (
    archive_project,
    delete_project,
    resume_organization,
    suspend_organization,
    unarchive_project,
)

__all__ = ["operators_admin", "people_admin", "sign_in_admin"]  # Django looks for this module alone

NOT_YOURS = _("Nothing was changed: this is not for you to do.")
admin.site.unregister(DjangoGroup)


@admin.register(DjangoGroup)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin):
    """A group gives Django's permissions and, by its bindings, roles."""

    search_fields = ("name",)
    identifiers = ()
    list_display = ("name", "members")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(people=Count("user"))

    @display(description=_("members"), ordering="people")
    def members(self, group: DjangoGroup) -> int:
        return group.people

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: DjangoGroup | None = None) -> bool:
        return request.user.is_superuser

    has_delete_permission = has_change_permission


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):
    """People are locked out, never deleted: what they did names them."""

    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", ("groups", RelatedDropdownFilter))
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email", "language")}),
        (_("Rights on the whole site"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined", "is_active")
    actions = ("lock_out", "let_in", "sign_out", "remove_factors")
    filter_horizontal, autocomplete_fields = (), ("groups",)
    RIGHTS = ("is_staff", "is_superuser", "groups")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(() if request.user.is_superuser else self.RIGHTS))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody becomes more than they are by setting the password of somebody who is. Programs have none."""
        if isinstance(obj, User) and obj.is_service:
            return False
        return super().has_change_permission(request, obj) and (
            request.user.is_superuser or not isinstance(obj, User) or not (obj.is_superuser or obj.is_staff))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == 302:
            audit.record("user.password", User.objects.get(pk=id), actor=request.user)
        return answer

    @act(_("Lock out"), confirm=_("They are signed out, and their API keys are refused."),
         why_not=lambda row: "" if row.is_active else ALREADY)
    def lock_out(self, row: User, actor) -> str:
        return self._set_active(row, False, actor)

    @act(_("Let in again"), why_not=lambda row: ALREADY if row.is_active else "")
    def let_in(self, row: User, actor) -> str:
        return self._set_active(row, True, actor)

    @act(_("Sign out everywhere"), confirm=_("All of their browsers are signed out. API keys go on."))
    def sign_out(self, row: User, actor) -> str:
        if row.is_superuser and not actor.is_superuser:
            return str(NOT_YOURS)
        return str(_("%(count)s sessions ended")) % {"count": browsers.end_all(row, actor=actor)}

    @act(_("Remove second factors"), confirm=_("For somebody who lost them: make sure that it is them who asks. Their password "
                                               "is enough then; a mail tells them."))
    def remove_factors(self, row: User, actor) -> str:
        if row.pk == actor.pk or (row.is_superuser and not actor.is_superuser):
            return str(NOT_YOURS)
        return str(_("%(count)s second factors removed")) % {"count": factors.remove_all(row, actor=actor)}

    def _set_active(self, row: User, wanted: bool, actor: User) -> str:
        if row.pk == actor.pk or (row.is_superuser and not actor.is_superuser):
            return str(NOT_YOURS)
        people.set_active(row, wanted, actor=actor)
        return str(_("Locked out") if not wanted else _("Let in again"))


class Bindings(AsksForKeys, TabularInline):
    """Roles in an organization or project. A binding points at a role of its own model, at nothing else in Django's table."""

    extra = 0
    hide_title = True
    owner, NAMED_BY = "user", "user__username"
    per_page = 10

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).order_by("pk").select_related(self.owner)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Roles and names are looked up once for all rows, and only when a row asks."""
        formset = super().get_formset(request, obj, **kwargs)
        fields = formset.form.base_fields
        if "permission" in fields:
            fields["permission"].queryset = self._roles(obj)
            known, scope, choices = request.__dict__.setdefault("_roles", {}), self._scope, fields["permission"].choices
            fields["permission"].choices = lambda: known.get(scope) or known.setdefault(scope, [*iter(choices)])
        if obj is not None and self.owner in fields:
            shown = self.get_queryset(request).filter(content_object=obj).values_list(f"{self.owner}_id", self.NAMED_BY)
            fields[self.owner].widget.known = SimpleLazyObject(lambda: {str(pk): name for pk, name in shown})
        return formset

    def _roles(self, scope: Any) -> QuerySet[Permission]:
        """The built-in roles, and the organization's own under their names."""
        own = Role.objects.filter(organization=getattr(scope, "organization_id", scope and scope.pk)).annotate(
            codename=Concat(Value(PREFIX), Cast("pk", CharField())))
        rows = Permission.objects.annotate(own=Subquery(own.filter(codename=OuterRef("codename")).values("name")[:1]))
        return rows.filter(Q(codename__in=list(map(codename, LABELS))) | Q(own__isnull=False),
                           content_type__app_label="tenants", content_type__model=self._scope)

    @property
    def _scope(self) -> str:
        return self.model._meta.get_field("content_object").related_model._meta.model_name

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "permission":
            field.label = _("Role")
            field.label_from_instance = lambda role: str(LABELS.get(role_of(role.codename)) or role.own)
        elif field is not None:
            field.label = _("User") if db_field.name == "user" else _("Group")
        return field


    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without icons that add or edit whom a row points at: drawing them took a seventh of the page's time."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field


class OwnersFormSet(PaginationInlineFormSet):
    """An organization keeps an owner who can sign in."""

    def clean(self) -> None:
        super().clean()
        if self.instance._state.adding or any(self.errors):
            return
        people.hold(self.instance.pk)
        owner, before = codename(people.OWNER), set(people.owners(self.instance).values_list("pk", flat=True))
        changed = [form.instance.pk for form in self.initial_forms if form.has_changed()]
        gone = OrganizationUserBinding.objects.filter(pk__in=changed, permission__codename=owner).values_list(
            "user_id", flat=True)
        kept = [form.cleaned_data for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        come = {one["user"].pk for one in kept if one["permission"].codename == owner and one["user"].is_active}
        if before and not (before - set(gone)) | come:
            raise forms.ValidationError(LastOwner(organization=self.instance.name).detail)


class OrganizationUsers(Bindings):
    verbose_name, verbose_name_plural = _("member"), _("Members")
    model, formset = OrganizationUserBinding, OwnersFormSet
    autocomplete_fields = ("user",)


class OrganizationGroups(Bindings):
    verbose_name, verbose_name_plural = _("member group"), _("Member groups")
    model = OrganizationGroupBinding
    autocomplete_fields = ("group",)
    owner, NAMED_BY, per_page = "group", "group__name", None


class ProjectUsers(Bindings):
    verbose_name, verbose_name_plural = _("member"), _("Members")
    model = ProjectUserBinding
    autocomplete_fields = ("user",)


class ProjectGroups(Bindings):
    verbose_name, verbose_name_plural = _("member group"), _("Member groups")
    model = ProjectGroupBinding
    autocomplete_fields = ("group",)
    owner, NAMED_BY, per_page = "group", "group__name", None


@admin.register(Organization)
class OrganizationAdmin(AuditedAdmin):
    """Write the reason first, save, then suspend: its members read it."""

    list_display = ("name", "plan", "created_at", "suspended_at", "deleted_at")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter), ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name",)
    ordering = ("name",)
    readonly_fields = ("suspended_at", "while_suspended", "deleted_at")
    inlines = (OrganizationUsers, OrganizationGroups, OrganizationQuotas)
    actions = ("suspend", "suspend_and_stop", "resume")

    @act(_("Suspend"), confirm=_("Its members only look from now on. Running instances go on and are billed."))
    def suspend(self, row: Organization, actor: User) -> None:
        suspend_organization(row, reason=row.suspension_reason, actor=actor)

    @act(_("Suspend and stop instances"), confirm=_("Its members only look from now on. Running instances are stopped."))
    def suspend_and_stop(self, row: Organization, actor: User) -> None:
        suspend_organization(row, reason=row.suspension_reason, actor=actor, while_suspended=Organization.WhileSuspended.STOP)

    @act(_("Resume"), why_not=lambda row: "" if row.suspended_at else ALREADY)
    def resume(self, row: Organization, actor: User) -> None:
        resume_organization(row, actor=actor)

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(AuditedAdmin):
    list_display = ("name", "organization", "parent", "created_at", "archived_at", "deleted_at")
    list_filter = (("organization", AutocompleteSelectFilter), ("archived_at", admin.EmptyFieldListFilter),
                   ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "organization__name")
    list_select_related = ("organization", "parent")
    autocomplete_fields = ("organization", "parent")
    ordering = ("name",)
    inlines = (ProjectUsers, ProjectGroups, ProjectQuotas)
    actions = ("archive", "unarchive", "end")

    @act(_("Archive"), why_not=lambda row: ALREADY if row.archived_at else "")
    def archive(self, row: Project, actor: User) -> None:
        archive_project(row, actor=actor)

    @act(_("Unarchive"), why_not=lambda row: "" if row.archived_at else ALREADY)
    def unarchive(self, row: Project, actor: User) -> None:
        unarchive_project(row, actor=actor)

    @act(_("Delete"), why_not=lambda row: ALREADY if row.deleted_at else "",
         confirm=_("Empty projects below them go with them; what anything lives in stays and says so. This cannot be undone."))
    def end(self, row: Project, actor: User) -> None:
        delete_project(row, actor=actor)

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        # Moving is a verb, not an edit.
        return ("organization", "parent", "archived_at", "deleted_at") if obj else ("archived_at", "deleted_at")

    def has_change_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        """What is deleted is history."""
        is_gone = isinstance(obj, Project) and obj.deleted_at is not None
        return not is_gone and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Project, form: forms.ModelForm, change: bool) -> None:
        """A new one is made by the verb, which gives it what every project has."""
        if change:
            super().save_model(request, obj, form, change)
            return
        made = create_project(obj.organization, obj.name, actor=request.user, parent=obj.parent, description=obj.description)
        obj.pk, obj.path = made.pk, made.path
        obj._state.adding, obj.created_at = False, made.created_at

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False


@admin.register(FormerPlace)
class FormerPlaceAdmin(ReadOnlyAdmin):
    list_display = ("project", "until", "stood_below")
    list_filter = (("project", AutocompleteSelectFilter),)
    search_fields = ("project__name",)
    identifiers = ("project_id",)
    list_select_related = ("project",)
    ordering = ("-until",)

    @display(description=_("stood below"))
    def stood_below(self, place: FormerPlace) -> str:
        return " / ".join(place.path[:-1]) or str(_("the top of its organization"))


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "prefix", "owner", "project", "last_used_at", "last_used_from", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), ("owner", AutocompleteSelectFilter),
                   ("project", AutocompleteSelectFilter))
    search_fields = ("name", "prefix", "owner__username")
    list_select_related = ("owner", "project")
    ordering = ("-created_at",)
    exclude = ("secret_hash", "previous_hash")
    actions = ("revoke",)

    @act(_("Revoke"), confirm=_("Programs that use the key are refused from now on."))
    def revoke(self, row: ApiKey, actor: User) -> None:
        revoke_api_key(row, actor=actor)
