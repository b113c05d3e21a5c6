"""Is a blocked name in this path, however it is spelled?

Names are compared as an eye or a lax file system would: without case, accents and invisible characters, in one form,
with letters of other scripts read as the Latin ones that they look like. That blocks more than there is, never less.
"""

import unicodedata
from functools import lru_cache
from typing import Final

_LOOK_ALIKES: Final = {
    "a": "аαɑᴀ", "b": "вβʙ", "c": "сϲᴄ", "d": "ԁđᴅ", "e": "еεҽᴇ", "f": "ƒ", "g": "ɡɢց", "h": "һнհħʜ", "i": "іιıɩɪ",
    "j": "јȷᴊ", "k": "кκᴋ", "l": "ӏłʟ", "m": "мμᴍ", "n": "ηոɴ", "o": "оοօøσᴏ", "p": "рρᴘ", "q": "ԛզ", "r": "гʀ",
    "s": "ѕꜱ", "t": "тτŧᴛ", "u": "υսᴜ", "v": "ѵνᴠ", "w": "ԝωᴡ", "x": "хχ", "y": "уγʏ", "z": "ζᴢ",
    ".": "。·‧∙٠۰܁ꓸ", "/": "∕⁄⧸", "-": "‐‒–—―−",
}  # fmt: skip
_UNSEEN: Final = ("Cc", "Cf", "Mn", "Me")
_BLANK_LETTERS: Final = "\u115f\u1160\u3164\u034f"
_FOLDED: Final = str.maketrans(
    {sign: plain for plain, signs in _LOOK_ALIKES.items() for sign in signs} | dict.fromkeys(_BLANK_LETTERS, "")
)


@lru_cache(maxsize=1024)
def fold_name(text: str) -> str:
    """The text as names are compared: many spellings, one form. Folding twice changes nothing more."""
    folded = text
    # A fold may uncover what the next one folds again: an upper case form in an accent's place.
    while (once := _fold(folded)) != folded:
        folded = once
    return folded


def find_blocked(path: str, patterns: tuple[str, ...]) -> str | None:
    """The first of `patterns` that is in the path, in any spelling; None if none is."""
    # The end counts as a separator: a pattern `a/` means a component that ends there.
    folded = fold_name(path) + "/"
    return next((pattern for pattern in patterns if fold_name(pattern) in folded), None)


def is_plain_text(text: str) -> bool:
    """Can it stand in an argument and a log line? Without control characters, line ends, and bytes that are no text."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    seen = "".join(sign for sign in plain if unicodedata.category(sign) not in _UNSEEN)
    return unicodedata.normalize("NFKC", seen.translate(_FOLDED))
