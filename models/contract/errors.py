"""The base of every error whose text is meant for whoever runs a command."""


class UserError(Exception):
    """Something that the user can put right. The text says what was wrong, the limit, and what to
    do."""
