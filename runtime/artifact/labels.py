"""Names of labels."""

JOINERS = "\u200c\u200d"


def is_label_name(name: str) -> bool:
    """Tells whether a name can be printed; Persian words and emoji may have joiners, which have no width."""
    visible = name.translate(dict.fromkeys(map(ord, JOINERS)))
    return bool(visible.strip()) and visible.isprintable()
