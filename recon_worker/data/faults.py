"""Errors by whose they are: the input's or ours. Each carries what is wrong and what to do."""


class InputFault(Exception):
    """The file is at fault. `str(fault)` is one clear sentence for the person who brought the file.

    Parameters
    ----------
    what
        What is wrong, as a sentence ("The file ends in the middle of its data table.").
    action
        What to do about it, as a sentence ("Copy it from the scanner again.").
    """

    def __init__(self, what: str, action: str = "Choose another file.") -> None:
        super().__init__(f"{what} {action}")
        self.what = what
        self.action = action


class ReconstructionFault(Exception):
    """We are at fault: a step of the chain broke on an input that it should have handled."""

    def __init__(
        self, what: str, action: str = "Try again; if it fails again, report it with the job's number."
    ) -> None:
        super().__init__(f"{what} {action}")
        self.what = what
        self.action = action
