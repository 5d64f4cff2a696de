"""`manage.py billing close` issues the invoices of a month that is over, where the clock has not yet; `manage.py billing focus`
writes one as FOCUS."""
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from billing import closing, focus
from billing.exports.writers import csv_line, heading
from billing.models import Invoice, Issuer
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.states import database_now


class Command(BaseCommand):
    help = "Close a month: invoices for what was used (again, it issues nothing new); or write an invoice as FOCUS 1.2."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        closed = verbs.add_parser("close", help="issue the invoices of a month")
        closed.add_argument("--month", required=True, metavar="YYYY-MM", help="in the issuer's time zone")
        written = verbs.add_parser("focus", help="write an invoice as FOCUS 1.2, CSV, to the standard output")
        written.add_argument("--invoice", required=True, metavar="NUMBER")

    def handle(self, *args: object, verb: str, **options: str) -> None:
        if verb == "close":
            self.close(options["month"])
        else:
            self.focus(options["invoice"])

    def focus(self, number: str) -> None:
        invoice = Invoice.objects.filter(number=number).first()
        if invoice is None:
            raise CommandError(f"There is no invoice {number}.")
        self.stdout.write(heading(focus.COLUMNS), ending="")
        for row in focus.rows(invoice):
            self.stdout.write(csv_line(row, focus.COLUMNS), ending="")

    def close(self, month: str) -> None:
        """Exit code 1 when one could not be closed."""
        if not Issuer.objects.exists():
            raise CommandError("Enter the issuer of the invoices in admin first.")
        try:
            invoices, failed = closing.close_all(Month.named(month), now=database_now())
        except ValueError as error:
            raise CommandError(f"{month} is no month like 2026-11.") from error
        except InvalidInput as error:
            raise CommandError(f"{month} is not over.") from error
        for invoice in invoices:
            self.stdout.write(f"{invoice.number} {invoice.total} {invoice.currency} {invoice.buyer['name']}")
        self.stdout.write(f"{len(invoices)} invoices issued")
        if failed:
            raise CommandError(f"Not closed: {', '.join(str(one.pk) for one in failed)}", returncode=1)
