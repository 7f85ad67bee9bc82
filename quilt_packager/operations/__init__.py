"""Operations on a deployed engine, for the command and the page."""
