"""Ready-made pages to log on with a password, to log out, and to see and end one's own logons.

security = Security(store="redis://…")
routes = [Mount("/account", Account(security)), …]                  # [passwords] file = "people"
app = Starlette(routes, middleware=[Middleware(SessionMiddleware, security=security, application="shop",
                                               logon_path="/account/logon")])
"""

from holdfast.web.account.elsewhere import Elsewhere
from holdfast.web.account.routes import Account

__all__ = ["Account", "Elsewhere"]
