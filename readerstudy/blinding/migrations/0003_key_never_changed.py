"""The database itself refuses to change a line of the key."""

from django.db import migrations

SQLITE = """
CREATE TRIGGER blinding_seal_no_update BEFORE UPDATE ON blinding_seal
BEGIN SELECT RAISE(ABORT, 'the key is never changed'); END
"""
POSTGRESQL = """
CREATE FUNCTION blinding_seal_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the key is never changed'; END $$;
CREATE TRIGGER blinding_seal_no_update BEFORE UPDATE ON blinding_seal
FOR EACH ROW EXECUTE FUNCTION blinding_seal_refuse();
"""


def guard(apps, schema_editor):
    schema_editor.execute(SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL)


def release(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER blinding_seal_no_update")
    else:
        schema_editor.execute("DROP TRIGGER blinding_seal_no_update ON blinding_seal")
        schema_editor.execute("DROP FUNCTION blinding_seal_refuse()")


class Migration(migrations.Migration):
    dependencies = [("blinding", "0002_release_preparation")]
    operations = [migrations.RunPython(guard, release)]
