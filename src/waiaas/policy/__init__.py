"""May this happen? A pure function of the request, the rules and what is already spent."""
