"""Order plans, presentations, grades, sign-off. Holds nothing that differs by arm."""
