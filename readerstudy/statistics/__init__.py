"""Statistics of a reader study: pure functions on tables of integers, usable from a notebook.

    from readerstudy.statistics.analysis import analyse
    from readerstudy.statistics.plan import AnalysisPlan
    from readerstudy.statistics.scores import read_scores

    results = analyse(read_scores(Path("scores.csv")), AnalysisPlan())

Everything that decides (signs, ties, ranks, order statistics, bands) is computed in integers and fractions; floats
appear only after the ranks are made. Definitions and sources: docs/statistics.md.
"""
