"""Makes strangers' text safe to print: ids, tags, answers and error messages may come from anyone."""


def printable(text: str) -> str:
    """Escape what would move the cursor, colour or reverse the writing, or be invisible."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
