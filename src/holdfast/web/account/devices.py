"""What a `User-Agent` says in a few words: enough for people to know their devices by."""

from typing import Final

PROGRAMS: Final = (  # the first that is found: most browsers name others, too
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("FxiOS/", "Firefox"),
    ("Safari/", "Safari"),
)
SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
LONGEST: Final = 80


def in_words(device: str) -> str:
    """Return a device's name: `Firefox on Windows`, or the program's own words, cut, if they are no browser's."""
    program = next((name for sign, name in PROGRAMS if sign in device), "")
    system = next((name for sign, name in SYSTEMS if sign in device), "")
    if program:
        return f"{program} on {system}" if system else program
    return device[:LONGEST] or "An unknown program"
