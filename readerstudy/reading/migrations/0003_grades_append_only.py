"""The database itself refuses to change a grade: a correction is a newer row."""

from django.db import migrations

SQLITE = """
CREATE TRIGGER reading_grade_no_update BEFORE UPDATE ON reading_grade
BEGIN SELECT RAISE(ABORT, 'grades are added, never changed'); END
"""
POSTGRESQL = """
CREATE FUNCTION reading_grade_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'grades are added, never changed'; END $$;
CREATE TRIGGER reading_grade_no_update BEFORE UPDATE ON reading_grade
FOR EACH ROW EXECUTE FUNCTION reading_grade_refuse();
"""


def guard(apps, schema_editor):
    schema_editor.execute(SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL)


def release(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER reading_grade_no_update")
    else:
        schema_editor.execute("DROP TRIGGER reading_grade_no_update ON reading_grade")
        schema_editor.execute("DROP FUNCTION reading_grade_refuse()")


class Migration(migrations.Migration):
    dependencies = [("reading", "0002_order_plan_text")]
    operations = [migrations.RunPython(guard, release)]
