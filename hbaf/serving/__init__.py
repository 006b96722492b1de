"""The champion behind HTTP: conversations come in a request, scored rows go out."""
