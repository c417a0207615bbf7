//! Pure rendering of changes: typed YAML edits that keep comments, and runbooks.
