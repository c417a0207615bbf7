//! What a card says about real-shaped changes, and what it never says.
//!
//! A case is one file in `cases/`: `=== PATH` begins a changed file whose lines begin with ` `, `-` or `+` as in a diff; `=== + PATH` an
//! added one and `=== - PATH` a removed one, whose lines stand as they are. `=== applications a, b` names the touched applications.
//! Add a file, run with `INSTA_UPDATE=always`, read the `.snap` next to it.

mod cases;
mod checklist;
mod documentation;
mod properties;
mod reasons;
