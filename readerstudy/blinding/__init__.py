"""The sealed key from series to arm, the release gate, unblinding. Never imported by reading."""
