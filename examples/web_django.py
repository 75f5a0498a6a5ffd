"""A shop on Django: a basket, a logon, and orders that need one. Any number of processes may serve it.

python web_django.py PORT [STORE]

Django's own session middleware is left out; `request.session` is the one in the ASGI scope.
"""

import secrets

import web_pages as pages
from django.conf import settings

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    SECRET_KEY=secrets.token_urlsafe(),  # nothing is signed with it
    MIDDLEWARE=[f"{__name__}.with_session"],
    LOGGING_CONFIG=None,
)

from django.core.asgi import get_asgi_application  # noqa: E402 - needs the settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.decorators import async_only_middleware  # noqa: E402
from django.views.decorators.http import require_GET, require_http_methods, require_POST  # noqa: E402

from holdfast.web.middleware import (  # noqa: E402
    SessionMiddleware,
    check_csrf,
    csrf_token,
    current,
    login,
    logout,
    require,
)


@async_only_middleware
def with_session(get_response):
    async def middleware(request):
        request.session = request.scope["session"]
        return await get_response(request)

    return middleware


@require_GET
async def front(request: HttpRequest) -> HttpResponse:
    logon, basket = current(request), request.session.get("basket", [])
    token = await csrf_token(request) if logon or basket else ""
    return HttpResponse(pages.front_page(logon.subject if logon else "", basket, token))


@require_POST
async def put(request: HttpRequest) -> HttpResponse:
    request.session["basket"] = [*request.session.get("basket", []), request.POST["article"]]
    return see_other("/")


@require_http_methods(["GET", "POST"])
async def log_on(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        return HttpResponse(pages.logon_page(await csrf_token(request), request.GET.get("next", "/")))
    form = request.POST
    await check_csrf(request, form.get("csrf_token"))
    if not pages.knows(form["name"], form["password"]):
        return HttpResponse(pages.logon_page(await csrf_token(request), form["next"]), status=401)
    await login(request, form["name"], roles=("customer",))
    return see_other(pages.way_on(form["next"]))


@require_POST
async def log_out(request: HttpRequest) -> HttpResponse:
    await logout(request)
    return see_other("/")


@require_GET
async def orders(request: HttpRequest) -> HttpResponse:
    logon = await require(request, role="customer")
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HttpResponse(pages.orders_page(logon.subject, request.session["seen"]))


def see_other(where: str) -> HttpResponse:
    answer = HttpResponseRedirect(where)
    answer.status_code = 303
    return answer


urlpatterns = [
    path("", front),
    path("basket", put),
    path("logon", log_on),
    path("logout", log_out),
    path("orders", orders),
]

if __name__ == "__main__":
    port, security = pages.security_from_arguments()
    django = get_asgi_application()
    pages.serve(SessionMiddleware(django, security, application="shop", keeps=["basket"], logon_path="/logon"), port)
