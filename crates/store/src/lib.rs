//! SQLite through sqlx: the only SQL of the house. Speaks domain types.
