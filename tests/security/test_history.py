"""No secret stands in any commit, also where a later one took it away."""

import re
import secrets
import shutil
import subprocess

import pytest

from tests.project.launching import ROOT

SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\s)*(?:[A-Za-z0-9+/=]{20,}|$)",
    "Stripe's key": r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "a webhook's secret": r"\bwhsec_[A-Za-z0-9+/=]{16,}",
    "SendGrid's key": r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
    "a cloud's key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a forge's token": r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abp]-)[\w-]{20,}",
    "a token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "what has a secret's name": r"(?i)(?:password|passwd|secret|token|api_?key)\w*[\"']?\s*[=:]\s*[\"']?"
    r"(?=[\w+/-]*\d)(?=[\w+/-]*[A-Za-z])[\w+/-]{24,}",
    "a URL's password": r"://[\w-]+:(?=[\w+/-]*\d)(?=[\w+/-]*[A-Za-z])[\w+/-]{12,}@[\w.]",
}
# Made up, and in force nowhere.
MADE_UP = {
    # The same word wherever tests need a production that starts, and what .env.example says how to make.
    'SECRET_KEY": "m3Yx8qPz0rT5vW2kL9nB4cD7fG1hJ6sA-oIuEyQwRtZxCvBnM_K',
    "SECRET_KEY='made-with-openssl-rand-base64-48-and-kept-for-ever-and-a-day",
    "TOKEN='made-with-openssl-rand-hex-32",
    # Of tests/kit/test_logs.py: `{"sub":"1"}`, signed with the word "signature".
    "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
}


def found_in_history(folder):
    """(kind, text) of what any commit on any branch added."""
    command = ["git", "log", "--all", "--patch", "--unified=0", "--no-color", "--no-ext-diff"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    added = [line for line in done.stdout.decode(errors="replace").splitlines() if line[:1] == "+"]
    assert added
    return {
        (kind, match[0])
        for line in added
        for kind, pattern in SECRETS.items()
        for match in re.finditer(pattern, line)
    }


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no git history here")
def test_no_commit_holds_a_secret():
    assert {(kind, text) for kind, text in found_in_history(ROOT) if text not in MADE_UP} == set()


def planted():
    """Made when they are needed: written here they would be found."""
    word = secrets.token_hex(16)
    return {
        "a private key": "-----BEGIN " + f"PRIVATE KEY-----\n{word}\n",
        "Stripe's key": f"sk_live_{word}",
        "a webhook's secret": f"whsec_{word}",
        "SendGrid's key": f"SG.{word}.{word}",
        "a cloud's key": "AKIA" + "7" * 16,
        "a forge's token": f"ghp_{word}",
        "a token": f"eyJ{word}.eyJ{word}.{word}",
        "what has a secret's name": f"DB_PASSWORD = '{word}a1'",
        "a URL's password": f"postgres://saas_app:{word}a1@db.example.com/saas",
    }


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_each_kind_is_found_after_it_was_taken_away(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=Olive", "-c", "user.email=olive@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, capture_output=True, check=True)

    file = tmp_path / "settings.txt"
    git("init", "--quiet")
    file.write_text("\n".join(planted().values()))
    git("add", ".")
    git("commit", "--quiet", "--message", "Settings")
    file.write_text("")
    git("commit", "--quiet", "--all", "--message", "Settings without secrets")
    assert {kind for kind, _ in found_in_history(tmp_path)} == set(SECRETS)
