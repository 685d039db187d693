"""The database itself refuses to remove a grade, and to change or remove a remark."""

from django.db import migrations

GUARDED = {
    "reading_grade": (("delete",), "grades are added, never removed"),
    "reading_comment": (("update", "delete"), "remarks are added, never changed or removed"),
}


def guard(apps, schema_editor):
    for table, (acts, message) in GUARDED.items():
        if schema_editor.connection.vendor != "sqlite":
            schema_editor.execute(
                f"CREATE FUNCTION {table}_keep() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
            )
        for act in acts:
            does = "FOR EACH ROW EXECUTE FUNCTION " + f"{table}_keep()"
            if schema_editor.connection.vendor == "sqlite":
                does = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            schema_editor.execute(f"CREATE TRIGGER {table}_keep_{act} BEFORE {act.upper()} ON {table} {does}")


def release(apps, schema_editor):
    for table, (acts, _) in GUARDED.items():
        on = "" if schema_editor.connection.vendor == "sqlite" else f" ON {table}"
        for act in acts:
            schema_editor.execute(f"DROP TRIGGER {table}_keep_{act}{on}")
        if schema_editor.connection.vendor != "sqlite":
            schema_editor.execute(f"DROP FUNCTION {table}_keep()")


class Migration(migrations.Migration):
    dependencies = [("reading", "0003_grades_append_only")]
    operations = [migrations.RunPython(guard, release)]
