"""What a guest tells through its agent; passwords, hashed and encrypted; and until when it may be frozen."""
from django.db import migrations, models

from portal.kernel.secrets import EncryptedTextField


class Migration(migrations.Migration):
    dependencies = [("instances", "0011_classes")]
    operations = [
        migrations.AddField("instance", "agent", models.CharField(blank=True, choices=[("answers", "answers"), ("silent", "not there")], db_default="", max_length=8, verbose_name="guest agent")),
        migrations.AddField("instance", "agent_asked_at", models.DateTimeField(editable=False, null=True, verbose_name="guest agent asked at")),
        migrations.AddField("instance", "guest_cards", models.JSONField(db_default=[], default=list, editable=False, help_text="Its network cards and their addresses, as the guest itself tells of them.")),
        migrations.AddField("instance", "frozen_until", models.DateTimeField(editable=False, help_text="Its file systems are frozen, and are thawed at this time at the latest.", null=True)),
        migrations.AddField("instance", "password_hash", EncryptedTextField(blank=True, db_default="", editable=False)),
        migrations.AddField("instance", "next_password_hash", EncryptedTextField(blank=True, db_default="", editable=False, help_text="What a reset of a password under way will bring.")),
    ]
