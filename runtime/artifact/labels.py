"""Names of labels."""

JOINERS = "\u200c\u200d"


def is_label_name(name: str) -> bool:
    """Returns whether a name is visible and printable. Joiners, which some words and emoji contain, are allowed."""
    visible = name.translate(dict.fromkeys(map(ord, JOINERS)))
    return bool(visible.strip()) and visible.isprintable()
