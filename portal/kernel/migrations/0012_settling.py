from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("kernel", "0011_operations_of_no_region")]
    operations = []
