//! Argo CD: the client, the one watch, and two pure answers: which applications does a change touch, and is the commit
//! deployed there?
//!
//! "Deployed" is answered by ancestry in our own clone, never by equality and never by "Synced" alone. The way of one change:
//! [`touched::touched`] names the applications, [`verdict::judge`] is asked for each of them whenever [`watch::Watch`] says
//! that something about it changed, and [`verdict::combine`] makes one answer of them. The number of requests to Argo CD
//! depends on the number of applications, never on the number of changes.
//!
//! ```no_run
//! # use argocd::{model::AppRef, verdict::{self, Ancestry, Baseline, Change, Tracking, Want}, watch::Watch};
//! # use chrono::{DateTime, Utc};
//! # async fn follow(watch: Watch, app: AppRef, mut tracking: Tracking, mut change: Change, mirror: &Ancestry<'_>, now: fn() -> DateTime<Utc>) {
//! // Before the push: what would be touched, and how it stands. After it: ask for a refresh, then judge until it is final.
//! change.baseline = watch.snapshot().application(&app.key()).map(Baseline::of);
//! let mut changes = watch.subscribe();
//! let _interest = watch.interest([app.key()]);
//! loop {
//!     let state = watch.snapshot();
//!     let judgement = verdict::judge(&tracking, &state.evidence(&app.key()), &change, mirror, now());
//!     tracking = judgement.tracking; // store it
//!     println!("{}", judgement.verdict.headline()); // show it, when it differs
//!     if judgement.verdict.is_final() {
//!         break;
//!     }
//!     watch.fulfil(&app, &judgement.wants); // the first wish after a push is the refresh
//!     let wake = judgement.wants.iter().find_map(|want| if let Want::WakeAt(at) = want { Some(*at) } else { None });
//!     let pause = wake.map_or(std::time::Duration::from_secs(60), |at| (at - now()).to_std().unwrap_or_default());
//!     tokio::select! {
//!         changed = changes.next() => if changed.is_none() { break },
//!         () = tokio::time::sleep(pause) => {}
//!     }
//! }
//! # }
//! ```

pub mod client;
pub mod model;
pub mod repo;
pub mod touched;
pub mod verdict;
pub mod watch;
pub mod windows;
