"""The database itself refuses to remove a line of the key."""

from django.db import migrations

SQLITE = """
CREATE TRIGGER blinding_seal_no_delete BEFORE DELETE ON blinding_seal
BEGIN SELECT RAISE(ABORT, 'the key is never changed'); END
"""
POSTGRESQL = """
CREATE TRIGGER blinding_seal_no_delete BEFORE DELETE ON blinding_seal
FOR EACH ROW EXECUTE FUNCTION blinding_seal_refuse();
"""


def guard(apps, schema_editor):
    schema_editor.execute(SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL)


def release(apps, schema_editor):
    on = "" if schema_editor.connection.vendor == "sqlite" else " ON blinding_seal"
    schema_editor.execute("DROP TRIGGER blinding_seal_no_delete" + on)


class Migration(migrations.Migration):
    dependencies = [("blinding", "0003_key_never_changed")]
    operations = [migrations.RunPython(guard, release)]
