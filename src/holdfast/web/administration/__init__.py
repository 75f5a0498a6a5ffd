"""What an administrator does with other people's logons: look at them, page by page, and end them (S5, S19, R73)."""

from holdfast.web.administration.administrator import Administrator, Ended
from holdfast.web.administration.api import Administration

__all__ = ["Administration", "Administrator", "Ended"]
