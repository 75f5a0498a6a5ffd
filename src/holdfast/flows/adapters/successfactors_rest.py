"""The adapter `successfactors_rest`: the REST services of SAP SuccessFactors, such as those of Learning.

They speak OData V4 in JSON, below `/learning/odatav4/…`. There is no session: each call brings its token, and no cookie
is ever sent (F5). Source: SAP Cloud Integration, "SuccessFactors REST Adapter" (entities of Learning, in OData V4).
"""

from holdfast.flows.adapters.successfactors_odata import SuccessFactorsODataV4, SuccessFactorsODataV4Adapter


class SuccessFactorsRest(
    SuccessFactorsODataV4, frozen=True, kw_only=True, tag_field="adapter", tag="successfactors_rest"
):
    """A REST service of SuccessFactors."""


class SuccessFactorsRestAdapter(SuccessFactorsODataV4Adapter):
    """Carries out one operation on a REST service of SuccessFactors, without a session."""
