import pytest

from autotune.secrecy import REDACTED, is_secret_name, redact_text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "secret",
        "client_secret",
        "api_key",
        "apiKey",
        "apikey",
        "OPENAI_API_KEY",
        "aws_secret_access_key",
        "aws_access_key_id",
        "credentials",
        "token",
        "hf_token",
        "WANDB_API_KEY",
        "access_token",
        "authToken",
        "passphrase",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "lr",
        "num_tokens",
        "pad_token",
        "max_tokens",
        "token_dropout",
        "cls_token",
        "key_dim",
        "num_keys",
        "width",
        "tokens",
        "secretary",
        "attention_key",
        "vocab_token",
    ],
)
def test_names_of_models_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("API_KEY=abc123", "API_KEY=<redacted>"),
        ("{'api_key': 'abc 123', 'lr': 0.1}", "{'api_key': <redacted>, 'lr': 0.1}"),
        ('{"hf_token": "abc"}', '{"hf_token": <redacted>}'),
        ("login(password='x y')", "login(password=<redacted>)"),
        ("postgresql://me:pass@host/db is gone", "postgresql://me:<redacted>@host/db is gone"),
        ("lr=0.1, pad_token: 3, at 10:30", "lr=0.1, pad_token: 3, at 10:30"),
        ("see https://example.org/a:b", "see https://example.org/a:b"),
    ],
)
def test_values_of_secrets_are_taken_out_of_text(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_long_line_without_a_break_is_read_once() -> None:
    """Else the tail of a log that is one line of a hundred kilobytes keeps the publisher for minutes."""
    text = "x" * 1_000_000
    assert redact_text(f"{text} HF_TOKEN=abc") == f"{text} HF_TOKEN={REDACTED}"
