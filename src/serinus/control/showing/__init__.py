"""How things look from outside: the same data for the API, the pages and the terminal."""
