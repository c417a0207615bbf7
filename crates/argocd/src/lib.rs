//! Argo CD: the client, the one watch, and two pure answers: which applications does a change touch, and is the commit
//! deployed there?
//!
//! "Deployed" is answered by ancestry in our own clone, never by equality and never by "Synced" alone. The way of one change:
//! [`touched::touched`] names the applications, [`verdict::judge`] is asked for each of them whenever [`watch::Watch`] says
//! that something about it changed, and [`verdict::combine`] makes one answer of them. The number of requests to Argo CD
//! depends on the number of applications, never on the number of changes.

pub mod client;
pub mod model;
pub mod repo;
pub mod touched;
pub mod verdict;
pub mod watch;
pub mod windows;
