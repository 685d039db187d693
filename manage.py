#!/usr/bin/env python
"""The command line of the web side: `up`, `demo`, `analyse`, `verify_audit` and Django's own commands."""

import os
import sys

NO_TABLES = ("no such table", "does not exist")
"""What SQLite and PostgreSQL say of a table that no migration has made."""


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "readerstudy.settings.development")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except DatabaseError as error:
        if not any(words in str(error) for words in NO_TABLES):
            raise
        sys.exit("The database is empty: the application was never started on it. Run `make up` once, then try again.")


if __name__ == "__main__":
    main()
