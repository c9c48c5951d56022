"""What must not be written down for others to see: values whose names say that they are secrets."""

import itertools
import re

REDACTED = "<redacted>"
"""What stands in place of a secret, wherever something is kept or shown."""

_WORDS = frozenset(
    {"password", "passwd", "pwd", "passphrase", "secret", "secrets", "credential", "credentials", "apikey"}
)
_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("account", "key")})
_OWNERS = (
    {"access", "account", "api", "auth", "authentication", "bearer", "bot", "csrf", "deploy", "gh", "git", "github"}
    | {"gitlab", "hf", "hub", "huggingface", "id", "jwt", "oauth", "personal", "refresh", "security", "service"}
    | {"session", "tracking", "user", "wandb"}
)
"""Words that make a secret of a name ending in ``token``; a ``pad_token`` or ``num_tokens`` belongs to a model."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# A name starts where a word does and gives nothing back: a line of a megabyte without a break takes linear time.
_ASSIGNED = re.compile(
    r"""(?<![\w.\-])(?P<name>[\w.\-]++)(?P<quote>["']?\s*(?:=|:(?!//))\s*)(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,;}\])]+)"""
)
_URL_PASSWORD = re.compile(r"(?P<before>\w://[^\s:/@]*:)[^\s@/]+(?=@)")


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret: ``password``, ``HF_TOKEN``, ``apiKey``, ``aws_secret_access_key``."""
    words = tuple(word for word in re.split(r"[_\W]+", _CAMEL.sub("_", name).lower()) if word)
    if _WORDS.intersection(words) or _PAIRS.intersection(itertools.pairwise(words)):
        return True
    return words[-1:] == ("token",) and (len(words) == 1 or bool(_OWNERS.intersection(words[:-1])))


def redact_text(text: str) -> str:
    """The text without values that stand behind secret names, as in ``API_KEY=...``, and without passwords of URLs."""

    def hide(found: re.Match[str]) -> str:
        if not is_secret_name(found["name"]):
            return found[0]
        return f"{found['name']}{found['quote']}{REDACTED}"

    return _ASSIGNED.sub(hide, _URL_PASSWORD.sub(rf"\g<before>{REDACTED}", text))
