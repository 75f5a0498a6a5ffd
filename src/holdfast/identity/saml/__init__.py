"""SAML 2.0 for a service provider: messages in, facts out; speaks no HTTP and keeps nothing.

Read it in this order: `parties` (who speaks), `bindings` (how a message travels), `xml` and `signatures` (what of it
can be believed), `responses` and `logouts` (what it says), `metadata` (how both sides introduce themselves).
Needs the extra `saml`. Sources: OASIS SAML 2.0 Core, Bindings, Profiles and Metadata, named by section.
"""
