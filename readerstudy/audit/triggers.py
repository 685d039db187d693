"""What makes the database itself refuse to change the trail, on SQLite and on PostgreSQL.

Triggers keep programs, shells and mistakes from changing a link. Whoever owns the database server can remove them; that
is what the chain of hashes and `verify_audit` are for.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

MESSAGE = "the audit trail is append-only"
TABLE = "audit_event"

SQLITE_INSTALL = [
    f"""CREATE TRIGGER {TABLE}_no_{what} BEFORE {what.upper()} ON {TABLE}
        BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"""
    for what in ("update", "delete")
]
SQLITE_REMOVE = [f"DROP TRIGGER IF EXISTS {TABLE}_no_{what}" for what in ("update", "delete")]

POSTGRESQL_INSTALL = [
    f"""CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    f"""CREATE TRIGGER {TABLE}_no_change BEFORE UPDATE OR DELETE ON {TABLE}
        FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()""",
    f"""CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE}
        FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()""",
]
POSTGRESQL_REMOVE = [
    f"DROP TRIGGER IF EXISTS {TABLE}_no_change ON {TABLE}",
    f"DROP TRIGGER IF EXISTS {TABLE}_no_truncate ON {TABLE}",
    f"DROP FUNCTION IF EXISTS {TABLE}_refuse()",
]

INSTALL = {"sqlite": SQLITE_INSTALL, "postgresql": POSTGRESQL_INSTALL}
REMOVE = {"sqlite": SQLITE_REMOVE, "postgresql": POSTGRESQL_REMOVE}


def run(connection: BaseDatabaseWrapper, statements: dict[str, list[str]]) -> None:
    """Execute the statements for this database. Raises NotImplementedError on one that the trail is not safe on."""
    if connection.vendor not in statements:
        raise NotImplementedError(f"The audit trail is not protected on {connection.vendor}; use SQLite or PostgreSQL.")
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the database refuse update, delete and truncate of the trail.

    A later migration that alters the table on SQLite builds it anew and loses the triggers: it must call this again.
    """
    run(connection, REMOVE)
    run(connection, INSTALL)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Undo `install`; for the migration backwards and for emptying a test database."""
    run(connection, REMOVE)
