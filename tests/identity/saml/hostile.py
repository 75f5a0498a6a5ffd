"""Documents that are meant to hurt their reader, or to be read differently by two."""

from identity.saml.idp import signed_response

GOOD = signed_response()


def _inside(text: str) -> str:
    """Return a good response with something behind its status, which nobody signed."""
    return GOOD.replace("</samlp:Status>", f"</samlp:Status>{text}", 1)


BOMB = "".join(
    f'<!ENTITY e{n} "{"&e" + str(n - 1) + ";" if n else "ha"}' + (f"&e{n - 1};" * 9 if n else "") + '">'
    for n in range(10)
)

TEXTS: dict[str, str | bytes] = {
    "a comment in the name": GOOD.replace(">ann<", ">ann<!---->.evil.example<"),
    "a comment behind": GOOD + "<!-- x -->",
    "a processing instruction in the name": GOOD.replace(">ann<", ">ann<?x?>.evil.example<"),
    "CDATA in the name": GOOD.replace(">ann<", "><![CDATA[ann]]><"),
    "a DOCTYPE": "<!DOCTYPE x>" + GOOD,
    "a DOCTYPE in lower case": "<!doctype x>" + GOOD,
    "an entity bomb": f"<!DOCTYPE x [{BOMB}]>" + GOOD.replace(">ann<", ">&e9;<"),
    "a file": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + GOOD.replace(">ann<", ">&f;<"),
    "a parameter entity": '<!DOCTYPE x [<!ENTITY % f SYSTEM "http://127.0.0.1:1/x">%f;]>' + GOOD,
    "an undeclared entity": GOOD.replace(">ann<", ">&ann;<"),
    "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?>' + GOOD).encode("utf-16"),
    "UTF-16 without a mark": ("<!DOCTYPE x>" + GOOD).encode("utf-16-le"),
    "UTF-7": ('<?xml version="1.0" encoding="UTF-7"?>' + GOOD).encode(),
    "Latin-1": ('<?xml version="1.0" encoding="ISO-8859-1"?>' + GOOD.replace(">ann<", ">\u00e4nn<")).encode("latin-1"),
    "bytes that are no UTF-8": GOOD.replace(">ann<", ">a@n<").encode().replace(b"a@n", b"a\xffn"),
    "a NUL": GOOD.replace(">ann<", ">ann\0<"),
    "a NUL reference": GOOD.replace(">ann<", ">ann&#0;<"),
    "cut off": GOOD[:-5],
    "two roots": GOOD + GOOD,
    "an ID twice": _inside('<samlp:Extensions ID="_p1"/>'),
    "an Id like an ID": _inside('<samlp:Extensions Id="_a1"/>'),
    "an id like an ID": _inside('<samlp:Extensions id="_a1"/>'),
    "an xml:id like an ID": _inside('<samlp:Extensions xml:id="_a1"/>'),
    "an attribute twice": GOOD.replace('Version="2.0"', 'Version="2.0" Version="2.0"', 1),
    "a prefix of nothing": GOOD.replace("<samlp:Status>", "<nix:Status>", 1),
    "too deep": _inside("<a>" * 300 + "</a>" * 300),
    "too many elements": _inside("<a/>" * 20_000),
    "too many namespaces": _inside(
        "<a " + " ".join(f'xmlns:n{n}="urn:{n}"' for n in range(5_000)) + ">" + "<b/>" * 2_000 + "</a>"
    ),
    "too large": _inside("<a>" + "x" * 300_000 + "</a>"),
    "nothing": "",
    "no XML": "SAML",
}
