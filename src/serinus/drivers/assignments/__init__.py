"""Where assignments are kept, when it is not the database."""
