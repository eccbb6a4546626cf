"""Names that the README of version 0.1 showed; they go with version 0.3."""
