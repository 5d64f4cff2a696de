"""What a finance department stumbled over: of books that say what units cost us one holds in each currency.

Where there are several, the margin was reckoned by the first by name: that one stays, the others become books by which nobody
pays; their prices stay as they are.
"""
from django.db import migrations, models


def keep_the_first(apps, _schema) -> None:
    seen = set()
    for book in apps.get_model("billing", "PriceBook").objects.filter(is_cost=True).order_by("name"):
        if book.currency in seen:
            book.is_cost = False
            book.save(update_fields=["is_cost"])
        seen.add(book.currency)


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_words_of_the_ladder")]
    operations = [
        migrations.RunPython(keep_the_first, migrations.RunPython.noop),
        migrations.AlterField("pricebook", "is_cost", models.BooleanField(
            db_default=False, default=False, verbose_name="what a unit costs us",
            help_text="For reports of the margin alone: nobody is billed by it, and what it does not price it does not know. One a "
                      "currency.")),
        migrations.AddConstraint("pricebook", models.UniqueConstraint(
            condition=models.Q(("is_cost", True)), fields=("currency",), name="one_cost_book_a_currency",
            violation_error_message="Another price book says already what units cost us in this currency.")),
    ]
