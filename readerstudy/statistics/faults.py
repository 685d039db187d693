"""What an analysis refuses, in words."""


class AnalysisFault(ValueError):
    """The scores, the measurements or the plan cannot be analysed as they are.

    Parameters
    ----------
    what
        What is wrong and where ("Row 12: the score 7 is outside the scale 1 to 5 of Apparent SNR.").
    action
        What to do about it.
    """

    def __init__(self, what: str, action: str = "") -> None:
        super().__init__(f"{what} {action}".strip())
        self.what = what
        self.action = action
