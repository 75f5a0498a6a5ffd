"""What an administrator does with other people's logons: look at them, page by page, and end them (S5, S19, R73).

Mount("/admin", Administration(security))      # an API, for tokens and for administrators who are logged on
Mount("/console", Console(security))           # pages; beside the applications, as it has sessions of its own
"""

from holdfast.web.administration.administrator import Administrator, Ended
from holdfast.web.administration.api import Administration
from holdfast.web.administration.console import Console, Section

__all__ = ["Administration", "Administrator", "Console", "Ended", "Section"]
