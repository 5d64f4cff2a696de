"""What a finance department stumbled over."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_words_of_the_ladder")]
    operations = []
