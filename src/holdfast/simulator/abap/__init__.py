"""A small ABAP front end: lexer, statements, syntax check, outline."""
