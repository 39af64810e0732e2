"""The organizations of the demo, and the people in them: a pure function of a seed."""

from random import Random
from typing import NamedTuple

FIRST_NAMES = (
    "Ada Amir Anneke Beatriz Chidi Dana Elif Esra Fatima Gideon Hana Ines Ivo Jorge Kaia Kofi Lena"
    " Liam Mai Marek Mina Noor Olu Pavel Priya Quinn Rosa Sanjay Tove Uma Viktor Wen Yara Zoé"
).split()
LAST_NAMES = (
    "Abel Berg Castro Diaz Eriksen Fischer Gupta Haddad Ibsen Jensen Kovač Lindqvist Moreau"
    " Nakamura Okafor Petrov Quispe Rossi Sato Tanaka Umar Varga Weber Xu Yilmaz Zhang"
).split()
COMPANY_NAMES = (
    "Aurora Basalt Cinder Delta Ember Fjord Granite Harbor Indigo Juniper Kestrel Lumen Meridian"
    " Nimbus Orchard Prairie Quartz Ridge Summit Tundra"
).split()
TRADES = "Bank Clinic Energy Foods Freight Insurance Labs Logistics Media Retail".split()
USER_AGENTS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Hub/8.2 (iPhone; iOS 17.5)",
    "hub-cli/3.4.1",
)
ROLES = ("Member", "Member", "Member", "Viewer", "Billing", "Admin", "Owner")
PEOPLE_MIN, PEOPLE_MAX = 6, 40


class Person(NamedTuple):
    """A user of one organization."""

    id: str
    name: str
    email: str
    role: str
    ip: str
    user_agent: str


class Organization(NamedTuple):
    """A customer with its people; ``weight`` says how busy it is beside the others."""

    id: str
    name: str
    people: tuple[Person, ...]
    weight: float


def organizations(chance: Random, count: int) -> list[Organization]:
    """Return that many organizations, few of them large and many small."""
    return [organization(chance, number) for number in range(count)]


def organization(chance: Random, number: int) -> Organization:
    """Return one organization with its people."""
    company = COMPANY_NAMES[number % len(COMPANY_NAMES)]
    trade = TRADES[(number // len(COMPANY_NAMES) + number) % len(TRADES)]
    identifier = f"org-{company.lower()}-{number:04d}"
    domain = f"{company.lower()}-{trade.lower()}.example"
    size = chance.randint(PEOPLE_MIN, PEOPLE_MAX)
    people = tuple(person(chance, f"usr-{number:04d}-{n:03d}", domain) for n in range(size))
    return Organization(identifier, f"{company} {trade}", people, 1 / (number + 1))


def person(chance: Random, identifier: str, domain: str) -> Person:
    """Return one user with a network address and a browser of their own."""
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    return Person(
        id=identifier,
        name=f"{first} {last}",
        email=f"{first}.{last}.{identifier[-3:]}@{domain}".lower(),
        role=chance.choice(ROLES),
        ip=address(chance),
        user_agent=chance.choice(USER_AGENTS),
    )


def address(chance: Random) -> str:
    """Return an IP address out of the ranges kept for documentation, one in eight of version 6."""
    if chance.random() < 1 / 8:
        return f"2001:db8::{chance.getrandbits(16):x}:{chance.getrandbits(16):x}"
    return f"{chance.choice(('192.0.2', '198.51.100', '203.0.113'))}.{chance.randint(1, 254)}"
