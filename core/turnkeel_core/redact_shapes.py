"""Which texts are secrets by their form alone?

Each pattern keeps what its groups hold and loses the rest. They work on str and, encoded, on bytes, take time linear
in the text, and can be used again on their own result: no match ends where a longer one could have begun.
"""

from typing import Final

_WORD: Final = "A-Za-z0-9"

# The look-behinds stand after the first character, which lets the search skip to it: "task-1" holds no key "sk-1".
_FORMS: Final = (
    rf"s(?<![{_WORD}]s)k-(?:ant-[\w-]{{8,}}|[\w-]{{20,}})",  # Anthropic, OpenAI and those who took over the form
    rf"[rsp](?<![{_WORD}][rsp])k_(?:live|test)_[{_WORD}]{{16,}}",  # Stripe
    rf"g(?<![{_WORD}]g)h[pousr]_[{_WORD}]{{30,}}",  # GitHub
    rf"g(?<![{_WORD}]g)ithub_pat_\w{{22,}}",
    rf"g(?<![{_WORD}]g)lpat-[\w-]{{20,}}",  # GitLab
    rf"A(?<![{_WORD}]A)(?:KIA|SIA)[A-Z0-9]{{12,}}",  # AWS access key ids, lasting and temporary
    rf"A(?<![{_WORD}]A)Iza[\w-]{{35,}}",  # Google
    rf"G(?<![{_WORD}]G)OCSPX-[\w-]{{20,}}",
    rf"y(?<![{_WORD}]y)a29\.[\w-]{{20,}}",
    rf"x(?<![{_WORD}]x)(?:ox[abeoprs]|app)-[{_WORD}-]{{10,}}",  # Slack
    rf"[MNO](?<![{_WORD}][MNO])[\w-]{{23,27}}\.[\w-]{{6}}\.[\w-]{{27,}}",  # Discord
    rf"[0-9](?<![{_WORD}][0-9])[0-9]{{7,9}}:AA[\w-]{{33,}}",  # Telegram
    rf"h(?<![{_WORD}]h)f_[{_WORD}]{{30,}}",  # Hugging Face
    rf"n(?<![{_WORD}]n)pm_[{_WORD}]{{36,}}",
    rf"p(?<![{_WORD}]p)ypi-[\w-]{{50,}}",
    rf"S(?<![{_WORD}]S)G\.[\w-]{{16,}}\.[\w-]{{16,}}",  # SendGrid
    rf"A(?<![{_WORD}]A)GE-SECRET-KEY-1[A-Z0-9]{{50,}}",
    r"e(?<![\w-]e)yJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",  # a signed JSON web token
)

_BREAK: Final = r"(?:\s|\\[nr])"  # also as JSON writes it
# An end is not asked for: a block that was cut off, or has not arrived yet, is as secret as far as it goes.
_KEY_BLOCK: Final = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{_BREAK}{{1,4}}(?:Proc-Type|DEK-Info|Version|Comment):[^\r\n\\]{{0,200}}){{0,4}}"
    rf"(?:{_BREAK}*[{_WORD}+/=]{{16,}})*"
    rf"(?:{_BREAK}*(?:[{_WORD}+/=]{{1,15}}{_BREAK}{{0,4}})?-----END [A-Z0-9 ]{{1,60}}-----)?"
)

_NAME: Final = r"(?:pass(?:word|wd|phrase)|secret|token|credentials?|(?:api|access|private|secret)[_-]?key)"
_SPACE: Final = r"[ \t]{0,3}"
# Six characters, not eight as for values without a name: here the name leaves no doubt, and `token=None` stays legible.
_UNQUOTED: Final = r"[^\s\"'`&;,(){}\[\]<>\\]{6,}"
_PLACES: Final = (
    rf"(?i:({_NAME}=)){_UNQUOTED}",
    rf"(_(?:KEY|AUTH|PASS|PWD)=){_UNQUOTED}",
    rf"(?i:({_NAME}[\"']?{_SPACE}[:=]{_SPACE}\"))(?:[^\"\\\r\n]|\\.){{6,}}",
    rf"(?i:({_NAME}\\\"{_SPACE}:{_SPACE}\\\"))(?:[^\"\\\r\n]|\\[^\"\r\n]){{6,}}",  # JSON within JSON
    rf"(?i:({_NAME}[\"']?{_SPACE}[:=]{_SPACE}'))[^'\r\n]{{6,}}",
    rf"(?i:(authorization\\?[\"']?{_SPACE}[:=]{_SPACE}\\?[\"']?(?:basic|bearer|token|digest|apikey|bot){_SPACE}))"
    r"[^\s\"'\\,]{4,}",
    rf"(?i:(bearer[ \t]{{1,3}}))[{_WORD}._~+/=-]{{16,}}",
    rf"(?i:(x-[a-z0-9-]{{0,40}}(?:key|token|secret|auth)\\?[\"']?{_SPACE}:{_SPACE}\\?[\"']?))[^\s\"'\\,]{{6,}}",
    r"(://[^\s/:@\"'<>\\]{0,256}:)[^\s/\"'<>\\]{1,256}(?=@)",
    rf"(hooks\.slack\.com/(?:services|workflows)/)[{_WORD}/]{{20,}}",
)

TOKENS: Final = f"(?a:(?:{_KEY_BLOCK}|{'|'.join(_FORMS)})[\\w-]*)()"
"""What is a secret wherever it stands. Without a word's rest behind it none can begin in the middle of what was one."""

CONTEXTS: Final = f"(?a:(?=[aAbBcChHpPsStTxX_:])(?:{'|'.join(_PLACES)}))"
"""A value whose name or place gives it away; to be looked for after `TOKENS`, which must find none in what this keeps.

Where none of them can begin the search goes on at once.
"""
