from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("network", "0003_traffic_counts")]
    operations = [
        migrations.AddField(
            model_name="fabric",
            name="changes",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, editable=False,
                help_text="How often what all of its VPCs stand on has changed: whoever compares them now sees that more came meanwhile."),
        ),
    ]
