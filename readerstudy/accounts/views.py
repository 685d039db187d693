"""Log in, log out, choose a password."""

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from readerstudy.accounts import services
from readerstudy.accounts.requests import PersonRequest
from readerstudy.faults import Refusal


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def password(request: PersonRequest) -> HttpResponse:
    """A person's own password, and nobody else's."""
    refusal = None
    if request.method == "POST":
        new = request.POST.get("new", "")
        try:
            if new != request.POST.get("again", ""):
                raise Refusal("The two new passwords differ.", "Enter the same one twice.")
            user = services.change_own_password(user=request.user, current=request.POST.get("current", ""), new=new)
        except Refusal as error:
            refusal = error
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "Your password is changed.")
            return redirect("studies:index")
    return render(request, "accounts/password.html", {"refusal": refusal}, status=200 if refusal is None else 409)
