"""The table of the console's pages, and the right that each needs."""

from typing import Final

from leadhook.web.console import overview, sign_in
from leadhook.web.console.visit import SIGN_IN, Page

PAGES: Final = (
    Page("GET", SIGN_IN, sign_in.show_sign_in, "open"),
    Page("POST", SIGN_IN, sign_in.sign_in, "open"),
    Page("POST", "/console/sign-out", sign_in.sign_out, "look"),
    Page("GET", "/console/static/{file}", sign_in.show_file, "open"),
    Page("GET", sign_in.HOME, overview.show, "look"),
    Page("GET", "/console/live", overview.show_live, "look"),
)
