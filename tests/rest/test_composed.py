"""Statements that are composed once: each caller's values are its own, and the answer is that of the query."""
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError
from django.db.models.sql.compiler import SQLCompiler

from portal.kernel.composed import Composed
from tenants.models import Organization, Project
from tests.cast import Cast

OF_ORGANIZATION = Composed(lambda organization: Project.objects.filter(organization=organization).values_list("pk", "name"),
                           organization=UUID)
AMONG = Composed(lambda organizations: Project.objects.filter(organization__any_of=organizations).values_list("pk"),
                 organizations=list[UUID])
ORGANIZATIONS = Composed(lambda pk: Organization.objects.filter(pk=pk), pk=UUID)


def test_values_take_the_place_of_their_stand_ins_and_of_nothing_else(cast: Cast) -> None:
    for organization in (cast.organization, cast.rival_organization):
        expected = set(Project.objects.filter(organization=organization).values_list("pk", "name"))
        assert set(OF_ORGANIZATION.rows(organization=organization.pk)) == expected and expected
    assert OF_ORGANIZATION.rows(organization=uuid4()) == []


def test_it_is_composed_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    OF_ORGANIZATION.rows(organization=cast.organization.pk)
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert OF_ORGANIZATION.rows(organization=cast.rival_organization.pk)


def test_any_number_of_ids_is_one_parameter(cast: Cast) -> None:
    both = [cast.organization.pk, cast.rival_organization.pk]
    for ids, found in (([], 0), (both[:1], 1), ([uuid4() for _one in range(500)] + both, 2)):
        expected = set(Project.objects.filter(organization__in=ids).values_list("pk"))
        assert set(AMONG.rows(organizations=ids)) == expected and len(expected) >= found


def test_models_are_those_of_the_query(cast: Cast) -> None:
    found = ORGANIZATIONS.models(pk=cast.organization.pk)
    assert found == [cast.organization] and found[0].name == cast.organization.name
    found[0].name = "renamed"
    found[0].save()
    assert [one.name for one in ORGANIZATIONS.models(pk=cast.organization.pk)] == ["renamed"]


def test_what_is_no_id_is_refused_by_the_database(cast: Cast) -> None:
    with pytest.raises(DatabaseError):
        OF_ORGANIZATION.rows(organization="x' OR true --")
