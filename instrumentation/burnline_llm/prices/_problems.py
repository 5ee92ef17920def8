"""What is wrong with a file of prices, for the one who wrote it."""


class PricesError(ValueError):
    """A file of prices can't be used; the text has a line for each problem: place, problem, mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
