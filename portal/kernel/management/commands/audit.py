"""`manage.py audit verify`: whether the audit trail is whole."""
import time
from argparse import ArgumentParser
from contextlib import suppress
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q, QuerySet

from portal.kernel.models import AuditChain
from portal.kernel.sealing import unsealed
from portal.kernel.verifying import Found, Verdict, verify, without_trail


class Command(BaseCommand):
    help = "Check the chains of the audit trail: every row there, unchanged, in its order. Exit code 1 when one is not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        checked = verbs.add_parser("verify", help="look at every row")
        checked.add_argument("--organization", metavar="ID|NAME", help="only the chain of this one")

    def handle(self, *args: object, organization: str | None = None, **options: object) -> None:
        begun, broken = time.monotonic(), 0
        for verdict in verify(_chains(organization)):
            broken += verdict.found is not None
            self.stdout.write(_line(verdict, time.monotonic() - begun))
            begun = time.monotonic()
        if organization is None:
            for one in without_trail():
                broken += 1
                self.stdout.write(f"{one.name} ({one.pk}): BROKEN: the whole chain is missing")
        self.stdout.write(f"{unsealed().count()} rows are not sealed yet")
        if broken:
            raise CommandError(f"{broken} chains are broken.", returncode=1)


def _chains(organization: str | None) -> QuerySet[AuditChain]:
    """Raises CommandError when there is none of that name or id."""
    if organization is None:
        return AuditChain.objects.all()
    named = Q(organization__name=organization)
    with suppress(ValueError):
        named |= Q(organization_id=UUID(organization))
    found = AuditChain.objects.filter(named)
    if not found.exists():
        raise CommandError(f"There is no chain of an organization {organization}.")
    return found


def _line(verdict: Verdict, seconds: float) -> str:
    chain = verdict.chain
    name = f"{chain.organization.name} ({chain.organization_id})" if chain.organization else "the site"
    if verdict.found:
        return f"{name}: BROKEN: {_told(verdict.found)}"
    return (f"{name}: {verdict.rows} rows, {chain.forgotten} forgotten, whole up to {chain.sequence} "
            f"{bytes(chain.hash).hex()} ({seconds:.1f} s)")


def _told(found: Found) -> str:
    at = f" at number {found.sequence}" if found.sequence else ""
    row = f" ({found.event.pk}: {found.event.action} {found.event.target_name}, {found.event.at:%Y-%m-%d %H:%M:%S})" if (
        found.event) else ""
    return f"{found.fault.label}{at}{row}"
