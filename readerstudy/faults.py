"""What we refuse, in words: one sentence on what is wrong, one on what to do."""


class Refusal(Exception):
    """An action that the study's rules or the input do not allow. Shown to the user as it is; never a stack trace.

    Parameters
    ----------
    what
        What is wrong and whose it is ("Reader Lee has 3 series left to grade.").
    action
        What to do ("Lock when all readers are done.").
    """

    def __init__(self, what: str, action: str = "") -> None:
        super().__init__(f"{what} {action}".strip())
        self.what = what
        self.action = action
