"""Score table, tables of the paper, figures, downloads; nothing before the lock."""
