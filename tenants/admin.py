"""Tenants in admin. Bindings are made through the verbs, so that they are audited."""
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from portal.kernel.admin import AuditedAdmin, ReadOnlyAdmin
from tenants.models import (
    ApiKey,
    Organization,
    OrganizationUserBinding,
    Project,
    ProjectUserBinding,
    Quota,
    User,
)

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")
    search_fields = ("username", "email", "first_name", "last_name")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email", "language")}),
        (_("Rights on the whole site"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")


class OrganizationBindings(TabularInline):
    model = OrganizationUserBinding
    extra = 0
    autocomplete_fields = ("user",)

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        return _only_roles(super().formfield_for_foreignkey(db_field, request, **kwargs), db_field, "organization")


class ProjectBindings(TabularInline):
    model = ProjectUserBinding
    extra = 0
    autocomplete_fields = ("user",)

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        return _only_roles(super().formfield_for_foreignkey(db_field, request, **kwargs), db_field, "project")


def _only_roles(field, db_field, model_name: str):
    """A binding points at a role of its own model, at nothing else in Django's permission table."""
    if db_field.name == "permission":
        field.queryset = field.queryset.filter(codename__startswith="role_", content_type__app_label="tenants",
                                               content_type__model=model_name)
        field.label_from_instance = lambda permission: permission.codename.removeprefix("role_")
    return field


class OrganizationQuotas(TabularInline):
    model = Quota
    fk_name = "organization"
    fields = ("region", "dimension", "limit")
    extra = 0


class ProjectQuotas(OrganizationQuotas):
    fk_name = "project"


@admin.register(Organization)
class OrganizationAdmin(AuditedAdmin):
    list_display = ("name", "created_at")
    search_fields = ("name", "id")
    inlines = (OrganizationBindings, OrganizationQuotas)

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(AuditedAdmin):
    list_display = ("name", "organization", "parent", "created_at")
    search_fields = ("name", "id", "organization__name")
    list_select_related = ("organization", "parent")
    autocomplete_fields = ("organization", "parent")
    inlines = (ProjectBindings, ProjectQuotas)

    def get_readonly_fields(self, request, obj=None) -> tuple[str, ...]:
        return ("organization", "parent") if obj else ()  # moving is a verb, not an edit

    def save_model(self, request, obj, form, change) -> None:
        if not change:
            obj.path = [*(obj.parent.path if obj.parent else []), str(obj.pk)]
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "prefix", "owner", "project", "last_used_at", "expires_at", "revoked_at")
    search_fields = ("name", "prefix", "owner__username")
    list_select_related = ("owner", "project")
    exclude = ("secret_hash",)
