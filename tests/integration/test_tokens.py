"""Whose word is taken: good tokens, and all the bad ones, against an issuer over HTTP."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from processor.api import tokens
from processor.api.access import viewer_of
from processor.api.problems import Problem
from processor.demo.issuer import PEOPLE, Issuer
from tests.integration.issuing import CountingIssuer, counting, trusting

OLIVIA = PEOPLE[0]
RSA = generate_private_key(65_537, 2_048)
STRANGER = Ed25519PrivateKey.generate()
PUBLIC = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(STRANGER.public_key()))

Forge = Callable[[Issuer], str]


@pytest.fixture
async def issuer() -> AsyncIterator[CountingIssuer]:
    """Give an issuer that is served."""
    async with counting() as issuer:
        yield issuer


def encoded(part: object) -> str:
    """Return a part of a token as it travels."""
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def header_of(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    """Return the header of a good token, changed."""
    return {**jwt.get_unverified_header(issuer.token(OLIVIA)), **changes}


def claims_of(issuer: Issuer) -> dict[str, Any]:
    """Return the claims of a good token."""
    claims: dict[str, Any] = jwt.decode(issuer.token(OLIVIA), options={"verify_signature": False})
    return claims


def by_hand(issuer: Issuer, header: object, claims: object) -> str:
    """Return a token with the issuer's good signature under whatever it says."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(issuer._key.sign(signed.encode()))}"


def without(claim: str) -> Forge:
    """Return how to make a token that lacks a claim."""

    def made(issuer: Issuer) -> str:
        """Sign what is left."""
        left = {name: value for name, value in claims_of(issuer).items() if name != claim}
        return by_hand(issuer, header_of(issuer), left)

    return made


def saying(**claims: Any) -> Forge:
    """Return how to make a token with other claims."""
    return lambda issuer: issuer.token(OLIVIA, **claims)


def headed(**header: Any) -> Forge:
    """Return how to make a well-signed token with another header."""
    return lambda issuer: by_hand(issuer, header_of(issuer, **header), claims_of(issuer))


def unsigned(algorithm: object) -> Forge:
    """Return how to make a token that names an algorithm, and has no signature."""

    def made(issuer: Issuer) -> str:
        """Keep the claims, leave the signature out."""
        _, claims, _ = issuer.token(OLIVIA).split(".")
        return f"{encoded(header_of(issuer, alg=algorithm))}.{claims}."

    return made


def keyed_with_public(issuer: Issuer) -> str:
    """Return a token signed by HMAC, the secret being the issuer's public key."""
    public = issuer._key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{encoded(header_of(issuer, alg='HS256'))}.{issuer.token(OLIVIA).split('.')[1]}"
    return f"{signed}.{encoded(hmac.digest(public, signed.encode(), 'sha256'))}"


def by_stranger(issuer: Issuer, **header: Any) -> str:
    """Return a token signed by somebody else's key."""
    headers = header_of(issuer, **header)
    key, algorithm = (RSA, headers["alg"]) if headers["alg"] != "EdDSA" else (STRANGER, "EdDSA")
    return jwt.encode(claims_of(issuer), key, algorithm=algorithm, headers=headers)


def own_key(name: str) -> Forge:
    """Return how to make a token that brings the key it is signed with."""
    where = {"jwk": PUBLIC, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/c"}
    return lambda issuer: by_stranger(issuer, **{name: where[name]})


def spliced(issuer: Issuer) -> str:
    """Return somebody else's claims under a good signature."""
    header, _, signature = issuer.token(OLIVIA).split(".")
    claims = issuer.token(OLIVIA, org_id="globex").split(".")[1]
    return f"{header}.{claims}.{signature}"


def cut(places: slice) -> Forge:
    """Return how to make a token that lacks some of its parts."""
    return lambda issuer: ".".join(issuer.token(OLIVIA).split(".")[places])


def raw_header(header: bytes) -> Forge:
    """Return how to make a token whose header is anything."""
    return lambda issuer: f"{encoded(header)}.{issuer.token(OLIVIA).split('.', 1)[1]}"


NOW = int(time.time())
HOUR = 3_600
BAD: dict[str, Forge] = {
    "nothing": lambda _: "",
    "a word": lambda _: "olivia",
    "dots": lambda _: "..",
    "not base64": lambda _: "%%%.%%%.%%%",
    "not ASCII": lambda _: "é.ü.ß",
    "header only": cut(slice(1)),
    "no signature part": cut(slice(2)),
    "four parts": lambda issuer: issuer.token(OLIVIA) + ".x",
    "five parts, encrypted": lambda issuer: issuer.token(OLIVIA) + ".x.y",
    "header no JSON": raw_header(b"{"),
    "header no object": raw_header(b"[]"),
    "header not UTF-8": raw_header(b"\xff\xfe"),
    "header very deep": raw_header(b"[" * 5_000),
    "too long": saying(name="x" * 9_000),
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg missing": unsigned(None),
    "alg a list": unsigned(["EdDSA"]),
    "alg unknown": unsigned("XX999"),
    "alg good, no signature": unsigned("EdDSA"),
    "HMAC with the public key": keyed_with_public,
    "RSA under an Ed25519 key id": lambda issuer: by_stranger(issuer, alg="RS256"),
    "RSA-PSS under an Ed25519 key id": lambda issuer: by_stranger(issuer, alg="PS256"),
    "RSA with SHA-512": lambda issuer: by_stranger(issuer, alg="RS512"),
    "another key, same id": by_stranger,
    "another key, own id": lambda issuer: by_stranger(issuer, kid="evil"),
    "brings its key": own_key("jwk"),
    "names a place of keys": own_key("jku"),
    "names a certificate": own_key("x5u"),
    "key id missing": headed(kid=None),
    "key id a path": lambda issuer: by_stranger(issuer, kid="../../dev/null"),
    "critical extension": headed(crit=["exp"]),
    "unknown critical extension": headed(crit=["x-hub"], **{"x-hub": 1}),
    "an ID token": lambda issuer: issuer.id_token(OLIVIA, "n", aud="hub-audit"),
    "type missing": headed(typ=None),
    "type of a logout token": headed(typ="logout+jwt"),
    "claims of another token": spliced,
    "expired": saying(iat=NOW - HOUR, exp=NOW - 31),
    "not yet valid": saying(nbf=NOW + HOUR),
    "issued in the future": saying(iat=NOW + HOUR, exp=NOW + HOUR + 60),
    "lives too long": saying(exp=NOW + 30 * HOUR),
    "lives for ever": saying(exp=float("inf")),
    "exp no time": saying(exp="soon"),
    "exp as text": saying(exp=str(NOW + 60)),
    "exp a list": saying(exp=[NOW + 60]),
    "iat as text": saying(iat=str(NOW)),
    "no exp": without("exp"),
    "no iat": without("iat"),
    "no iss": without("iss"),
    "no aud": without("aud"),
    "no sub": without("sub"),
    "another issuer": saying(iss="https://evil.example"),
    "issuer with a slash more": lambda issuer: issuer.token(OLIVIA, iss=f"{issuer.url}/"),
    "issuer a list": lambda issuer: by_hand(
        issuer, header_of(issuer), {**claims_of(issuer), "iss": [issuer.url]}
    ),
    "claims no object": lambda issuer: by_hand(issuer, header_of(issuer), [1]),
    "claims very deep": lambda issuer: by_hand(issuer, header_of(issuer), b"[" * 3_000),
    "another audience": saying(aud="billing"),
    "audience nearly": saying(aud="hub-audit-2"),
    "no audience at all": saying(aud=[]),
    "subject empty": saying(sub=""),
    "subject a number": saying(sub=7),
    "subject endless": saying(sub="x" * 300),
    "subject with a line break": saying(sub="olivia\nadmin"),
    "no organization": without("org_id"),
    "organization empty": saying(org_id=""),
    "organization a list": saying(org_id=["acme", "globex"]),
    "organization a pattern": saying(org_id="acme%"),
    "organization a path": saying(org_id="../globex"),
}


async def test_bad_tokens_are_refused(issuer: CountingIssuer) -> None:
    """Every bad token is a 401 that tells nothing of what a good one looks like."""
    verifier = trusting(issuer)
    viewer_of(await verifier.verify(issuer.token(OLIVIA)))
    refusals: dict[str, Problem | None] = {}
    for name, forge in BAD.items():
        try:
            viewer_of(await verifier.verify(forge(issuer)))
            refusals[name] = None
        except Problem as refusal:
            refusals[name] = refusal
    assert [name for name, refusal in refusals.items() if refusal is None] == []
    told = {refusal for refusal in refusals.values() if refusal is not None}
    assert {refusal.kind.status for refusal in told} == {401}
    assert not any(issuer.url in refusal.detail for refusal in told)


async def test_good_token_says_who_and_for_whom(issuer: CountingIssuer) -> None:
    """Each person is of one organization, with the permissions of the role and no other."""
    verifier = trusting(issuer)
    seen = [viewer_of(await verifier.verify(issuer.token(person))) for person in PEOPLE]
    everything = "audit.acknowledge audit.export audit.subscribe audit.view"
    assert {(each.org_id, each.name, " ".join(sorted(each.permissions))) for each in seen} == {
        ("acme", "Olivia Owner", everything),
        ("acme", "Adam Admin", everything),
        ("acme", "Audrey Auditor", "audit.export audit.view"),
        ("acme", "Mia Member", ""),
        ("globex", "Gus Owner", everything),
        ("globex", "Greta Member", ""),
    }
    assert issuer.asked == 1


async def test_clock_of_the_issuer_may_differ_a_little(issuer: CountingIssuer) -> None:
    """A token is taken within the leeway of its times, and not beyond."""
    verifier = trusting(issuer)
    now = int(time.time())
    await verifier.verify(issuer.token(OLIVIA, iat=now - 100, exp=now - 20))
    await verifier.verify(issuer.token(OLIVIA, iat=now + 20, exp=now + 100))
    with pytest.raises(Problem, match="expired"):
        await verifier.verify(issuer.token(OLIVIA, iat=now - 100, exp=now - 40))


async def test_made_up_key_ids_do_not_flood_the_issuer(issuer: CountingIssuer) -> None:
    """The issuer is asked once, however many unknown keys are named; a pause later once more."""
    verifier = trusting(issuer)
    await verifier.verify(issuer.token(OLIVIA))
    for number in range(50):
        with pytest.raises(Problem):
            await verifier.verify(by_stranger(issuer, kid=f"evil-{number}"))
    assert issuer.asked == 1
    verifier._asked_at -= tokens.REFRESH_SECONDS_MIN
    for number in range(50):
        with pytest.raises(Problem):
            await verifier.verify(by_stranger(issuer, kid=f"evil-{number}"))
    assert issuer.asked == 2


async def test_login_proof_belongs_to_one_login(issuer: CountingIssuer) -> None:
    """An ID token is taken with its nonce and subject, and an access token never in its place."""
    verifier = trusting(issuer)
    proof = issuer.id_token(OLIVIA, "n-1")
    await verifier.verify_login(proof, nonce="n-1", subject=OLIVIA.subject)
    for token, nonce, subject in (
        (proof, "n-2", OLIVIA.subject),
        (proof, "n-1", PEOPLE[1].subject),
        (issuer.id_token(OLIVIA, "n-1", aud="billing"), "n-1", OLIVIA.subject),
        (issuer.token(OLIVIA, nonce="n-1"), "n-1", OLIVIA.subject),
    ):
        with pytest.raises(Problem):
            await verifier.verify_login(token, nonce=nonce, subject=subject)


async def test_longer_tokens_are_taken_where_they_are_wanted(issuer: CountingIssuer) -> None:
    """How long a token may live is the operator's to say: that is how long a loss may take."""
    hour = issuer.token(OLIVIA, exp=int(time.time()) + HOUR - 60)
    with pytest.raises(Problem, match="300 s at most"):
        await trusting(issuer).verify(hour)
    await trusting(issuer, token_seconds_max=HOUR).verify(hour)
