"""An identity provider on liblasso: SSO by Redirect, single logout by SOAP, both ways. For Debian's own Python.

python3.11 lasso_idp.py PORT FOLDER, where FOLDER holds idp.xml, idp.pem, idp.crt and the sites' metadata, sp*.xml.

    GET  /sso       logs carol on at a site that asks
    GET  /logout    asks every site to log her off, and tells what each has answered
    POST /slo       a site asks to log her off
    GET  /session   says how many sites she is logged on to
"""

import datetime
import glob
import http.server
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import lasso

port, folder = int(sys.argv[1]), sys.argv[2]
session = {"dump": None}


def server():
    made = lasso.Server(f"{folder}/idp.xml", f"{folder}/idp.pem", None, f"{folder}/idp.crt")
    made.signatureMethod = lasso.SIGNATURE_METHOD_RSA_SHA256
    for name in sorted(glob.glob(f"{folder}/sp*.xml")):
        made.addProvider(lasso.PROVIDER_ROLE_SP, name)
    return made


def moment(seconds):
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def log_on(query):
    login = lasso.Login(server())
    if session["dump"]:
        login.setSessionFromDump(session["dump"])
    login.processAuthnRequestMsg(query)
    login.validateRequestMsg(True, True)
    login.buildAssertion(lasso.SAML2_AUTHN_CONTEXT_PASSWORD, moment(0), None, moment(-30), moment(300))
    statement = login.assertion.authnStatement[0]
    statement.sessionIndex, statement.sessionNotOnOrAfter = login.assertion.iD, moment(3600)
    attribute, value = lasso.Saml2Attribute(), lasso.Saml2AttributeValue()
    attribute.name, attribute.nameFormat = "uid", lasso.SAML2_ATTRIBUTE_NAME_FORMAT_BASIC
    value.any = [lasso.MiscTextNode.newWithString("carol")]
    value.any[0].textChild = True
    attribute.attributeValue = [value]
    statement = lasso.Saml2AttributeStatement()
    statement.attribute = [attribute]
    login.assertion.attributeStatement = [statement]
    login.buildAuthnResponseMsg()
    session["dump"] = login.session.dump()
    fields = {"SAMLResponse": login.msgBody, "RelayState": login.msgRelayState or ""}
    inputs = "".join(f'<input type="hidden" name="{name}" value="{text}">' for name, text in fields.items())
    return f'<html><body><form method="post" action="{login.msgUrl}">{inputs}</form></body></html>'


def log_off():
    """Ask every site, over the back channel; return for each what it answered and whether that was signed."""
    logout, told = lasso.Logout(server()), []
    logout.setSessionFromDump(session["dump"])
    while True:
        site = logout.getNextProviderId()
        if not site:
            break
        logout.initRequest(site, lasso.HTTP_METHOD_SOAP)
        logout.buildRequestMsg()
        headers = {"Content-Type": "text/xml", "SOAPAction": "http://www.oasis-open.org/committees/security"}
        request = urllib.request.Request(logout.msgUrl, data=logout.msgBody.encode(), headers=headers)
        try:
            answer = urllib.request.urlopen(request, timeout=20).read().decode()
            logout.processResponseMsg(answer)
        except urllib.error.HTTPError as exc:
            told.append([site, exc.code, exc.read().decode()])
            break
        except lasso.Error as exc:
            told.append([site, "refused", str(exc)])
            break
        told.append([site, logout.response.status.statusCode.value.rpartition(":")[2], "Signature" in answer])
    session["dump"] = None
    return json.dumps(told)


def asked_to_log_off(body):
    logout = lasso.Logout(server())
    if session["dump"]:
        logout.setSessionFromDump(session["dump"])
    logout.processRequestMsg(body)
    logout.validateRequest()
    logout.buildResponseMsg()
    session["dump"] = logout.session.dump() if logout.session else None
    return logout.msgBody


def sites():
    return json.dumps(session["dump"].count("<Assertion") if session["dump"] else 0)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def answer(self, make, kind):
        try:
            status, text = 200, make()
        except Exception as exc:  # noqa: BLE001 - the test shows it
            status, text = 500, repr(exc)
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        if parts.path == "/sso":
            self.answer(lambda: log_on(parts.query), "text/html")
        elif parts.path == "/logout":
            self.answer(log_off, "application/json")
        else:
            self.answer(sites, "application/json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.answer(lambda: asked_to_log_off(body), "text/xml")


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
