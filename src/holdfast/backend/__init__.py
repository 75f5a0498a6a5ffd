"""A session held at a back end: its cookies, its token, its context, and one request at a time."""
