//! The use cases, and the workers that execute the effects they owe. HTTP and Telegram are two faces of the same use cases.
//!
//! Everything that happens becomes an [`domain::Event`]; the database's writer loads the row, calls [`domain::decide()`] and writes state, audit row
//! and owed effects in one transaction. Workers claim effects, execute them outside any transaction, and feed the result back as an event.

mod act;
mod book;
mod cards;
mod checked;
mod codes;
mod continuity;
mod hub;
mod inbound;
mod intake;
pub mod orders;
mod own_files;
mod policies;
mod problem;
mod requests;
mod settings;
mod shelves;
mod trust;
mod usecases;
mod when;
mod workers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use domain::{RepositoryName, Timestamp};
use store::Store;

pub use act::Failed;
pub use book::{
    Book, FileProblem, GuardFiles, PolicyHome, REPOSITORY_POLICY_BYTES_MAX, REPOSITORY_RUNBOOK_BYTES_MAX, REPOSITORY_RUNBOOKS_MAX,
};
pub use changes::Description as RunbookDescription;
pub use checked::Checked;
pub use codes::CODES;
pub use inbound::Habits;
pub use problem::{Found, Place, Problem};
pub use requests::{
    Agent, Answer, Approvers, ArgocdHealth, Content, Created, Evaluation, FileEdit, FileRequest, FileSummary, Health, Idempotency,
    ListedRunbook, Listing, Me, Meant, ObservationRequest, ProposalRequest, Render, Rendering, Until,
};
pub use settings::{ArgocdSetup, Clock, CodeSource, CrashPoints, Destination, EngineOptions, Limits, RepositorySetup, TelegramSetup};
pub use trust::{RunbookStanding, SERVICE as SERVICE_NAME};
pub use when::When;
pub use workers::Running;

/// The service's heart. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    book: ArcSwap<Book>,
    repositories: BTreeMap<RepositoryName, RepositorySetup>,
    telegram: Option<TelegramSetup>,
    argocd: BTreeMap<String, ArgocdSetup>,
    limits: Limits,
    clock: Clock,
    crash: CrashPoints,
    hub: hub::Hub,
    /// Second steps that are open, by card. Lost on a restart: then the card simply asks again.
    confirming: Mutex<BTreeMap<(i64, domain::UserId), inbound::OpenStep>>,
    /// Approvals that wait for a code. Lost on a restart: then the card simply asks again.
    awaiting_codes: Mutex<BTreeMap<(domain::UserId, i64), inbound::AwaitedCode>>,
    codes: Option<CodeSource>,
    /// When strangers were last told their id.
    strangers: Mutex<BTreeMap<domain::UserId, Timestamp>>,
    telegram_seen: Mutex<Option<Timestamp>>,
    /// Applications as they were just before a push. Lost on a restart: a missing baseline reads as unknown.
    baselines: Mutex<workers::Baselines>,
    /// What people ordered about sending, as of the last look; what decides is read from the database.
    ordered: ArcSwap<store::Ordered>,
    /// One look at the orders at a time.
    ordering: tokio::sync::Mutex<()>,
    /// Groups that became supergroups since the configuration was written, old id to new.
    moved: Mutex<BTreeMap<telegram::ChatId, telegram::ChatId>>,
    wake: tokio::sync::Notify,
    /// Whether the branches still hold what they held.
    branches: continuity::Branches,
    /// Why deliveries that are under way are tried again, as of the last try.
    delayed: Mutex<BTreeMap<domain::ProposalId, String>>,
    /// The policies that repositories carry themselves.
    following: policies::Following,
    /// What people know of the service's own files.
    own_files: own_files::OwnFiles,
    /// Up to where each branch was looked at for reverts.
    looks: workers::Looks,
    /// The owners of the branches, once they run.
    owners: OnceLock<workers::Owners>,
    /// When agents last called, not written yet.
    used: workers::Used,
}

impl Engine {
    /// Puts the rooms together. Nothing runs before [`Engine::start`].
    pub fn new(options: EngineOptions) -> Self {
        let homes = options
            .repositories
            .iter()
            .filter_map(|repository| Some((repository.name.clone(), repository.policy.clone()?)));
        let unwatched = options.repositories.iter().filter(|repository| repository.argocd.is_none());
        let folders = options
            .repositories
            .iter()
            .filter_map(|repository| Some((repository.name.clone(), repository.runbooks.clone()?)));
        let book = options
            .book
            .homed(homes)
            .shelved(folders)
            .unwatched(unwatched.map(|repository| repository.name.clone()));
        let repositories: BTreeMap<RepositoryName, RepositorySetup> = options
            .repositories
            .into_iter()
            .map(|repository| (repository.name.clone(), repository))
            .collect();
        let argocd = options
            .argocd
            .into_iter()
            .map(|instance| (instance.name.clone(), instance))
            .collect();
        Self(Arc::new(Inner {
            store: options.store,
            book: ArcSwap::from_pointee(book),
            branches: continuity::Branches::new(repositories.keys()),
            delayed: Mutex::default(),
            repositories,
            telegram: options.telegram,
            argocd,
            limits: options.limits,
            clock: options.clock,
            crash: options.crash,
            hub: hub::Hub::default(),
            confirming: Mutex::new(BTreeMap::new()),
            awaiting_codes: Mutex::default(),
            codes: options.codes,
            strangers: Mutex::default(),
            telegram_seen: Mutex::new(None),
            baselines: Mutex::default(),
            ordered: ArcSwap::from_pointee(store::Ordered::default()),
            ordering: tokio::sync::Mutex::default(),
            moved: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            following: policies::Following::default(),
            own_files: own_files::OwnFiles::default(),
            looks: workers::Looks::default(),
            owners: OnceLock::new(),
            used: workers::Used::default(),
        }))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The policy, runbooks and guard rails in force.
    pub fn book(&self) -> Arc<Book> {
        self.0.book.load_full()
    }

    /// Puts another policy of the service's own and other runbooks in force; what repositories carry themselves stays. Pending proposals meet
    /// them at the next tap, and before their push.
    pub fn put_in_force(&self, book: Book) {
        // Read within the exchange: of two at a time the later one knows the newest locks.
        self.exchange(|current| book.with_theirs_of(&current).locking(self.locked()));
    }

    /// Takes the rights of those who gave them up out of the policy in force, and gives them back to the others.
    pub(crate) fn lock_in_force(&self) {
        self.exchange(|book| {
            let locked = self.locked();
            if book.locks(&locked) { book } else { book.locking(locked) }
        });
    }

    /// Reads policy, runbooks and the guard rails' files again; a file with problems changes nothing.
    ///
    /// # Errors
    /// Every problem found; what was in force stays in force.
    pub fn reload_book(&self) -> Result<bool, Vec<FileProblem>> {
        let current = self.book();
        let fresh = current.reload()?;
        let same = fresh.same_files(&current);
        if !same {
            self.put_in_force(fresh);
        }
        Ok(!same)
    }

    pub(crate) fn repository(&self, name: &RepositoryName) -> Option<&RepositorySetup> {
        self.0.repositories.get(name)
    }

    pub(crate) fn repositories(&self) -> impl Iterator<Item = &RepositorySetup> {
        self.0.repositories.values()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn telegram(&self) -> Option<&TelegramSetup> {
        self.0.telegram.as_ref()
    }

    pub(crate) fn instance_of(&self, repository: &RepositorySetup) -> Option<&ArgocdSetup> {
        repository.argocd.as_ref().and_then(|name| self.0.argocd.get(name))
    }

    pub(crate) fn crash(&self, name: &str) {
        self.0.crash.pass(name);
    }

    /// Random bytes from the operating system.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Err(error) = getrandom::fill(&mut bytes) {
            // Without randomness no button and no id can be trusted; Linux blocks rather than fails here.
            panic!("the operating system gives no random bytes: {error}");
        }
        bytes
    }

    /// A fresh proposal id: UUIDv7, so that ids sort by time.
    pub(crate) fn fresh_id(&self, now: Timestamp) -> domain::ProposalId {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        domain::ProposalId::new(uuid::Builder::from_unix_timestamp_millis(millis, &self.random()).into_uuid())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}
