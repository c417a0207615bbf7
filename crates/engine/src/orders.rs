//! What people order about sending: stop, resume, let a change pass a freeze, give up one's own rights, give somebody theirs back.
//!
//! Each order is one transaction with its audit row, over the store alone, so that the chat and the command line do the very same. The
//! running service holds what stands in memory (`Engine::follow_orders` reads it again after each order and whenever another process
//! wrote) for cards and agents; what decides about a commit is read in the transaction that decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{
    Delivery, Effect, Event, Freeze, Order, OrderId, PersonRef, Policy, Proposal, ProposalId, ResumeVote, Resumption, Scope, Stop,
    StopRequest, Timestamp, UserId, decide,
};
use serde_json::json;
use store::{Actor, Audit, Override, Store, StoreError, Tx};

use crate::Book;

/// Whoever orders from a shell of the service's host, as one person: no id of Telegram's is zero. One of the two who resume, never both.
pub const OPERATOR: UserId = UserId(0);
/// Names that an answer lists at most.
const NAMES_MAX: usize = 30;

/// Who orders.
#[derive(Debug, Clone)]
pub struct Orderer {
    /// The name that people read, and the id that is counted.
    pub person: PersonRef,
    /// How the audit log names them.
    pub actor: Actor,
}

impl Orderer {
    /// Somebody of the policy, in a chat.
    pub fn person(person: PersonRef) -> Self {
        Self {
            actor: Actor::Person(person.clone()),
            person,
        }
    }

    /// The operator at a shell.
    pub fn operator() -> Self {
        Self {
            person: PersonRef {
                id: OPERATOR,
                name: "the operator".to_owned(),
            },
            actor: Actor::Service,
        }
    }
}

/// What became of `/stop`.
#[derive(Debug, Clone)]
pub enum Stopped {
    /// It stands from now on.
    New(Stop),
    /// One of the same scope stands already.
    Standing(Stop),
}

/// What became of a wish that a stop or a lock ends.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It is over.
    Over(Order),
    /// So many more people must ask for it.
    Missing(Order, usize),
    /// Several stand: which one?
    Which(Vec<Order>),
    /// No such one stands.
    Nothing,
    /// This person may not ask for it; a refused attempt is in the audit log.
    NotEntitled,
}

/// What became of `/override`.
#[derive(Debug, Clone)]
pub enum Passed {
    /// It may pass these freezes from now on; the rest still holds it.
    Done(Vec<Freeze>, Vec<Freeze>),
    /// Nothing holds it that can be overridden.
    NotFrozen,
    /// Frozen, and this person is in none of the groups.
    NotEntitled(Vec<Freeze>),
    /// It does not wait to be sent.
    NotWaiting,
}

/// Why a stop would cover nothing, with the names that there are: a slip in an emergency must not look like success. What was revoked, is not
/// valid at the moment, or only waits to be sent can be stopped. Without a `book` no runbook is known, and every name is taken.
///
/// # Errors
/// When the database refuses.
pub async fn unknown(store: &Store, book: Option<&Book>, scope: &Scope) -> Result<Option<String>, StoreError> {
    let read = store.read();
    let (what, named, known): (_, _, BTreeSet<String>) = match (scope, book) {
        (Scope::Agent(name), _) if name.as_str() != crate::SERVICE_NAME => {
            let agents = read.agents().await?;
            (
                "agent",
                name.as_str(),
                agents.into_iter().map(|agent| agent.name.to_string()).collect(),
            )
        }
        (Scope::Runbook(name), Some(book)) if !book.may_run(name) => {
            let known = book.runbook_names().into_iter().map(ToString::to_string).collect();
            ("runbook", name.as_str(), known)
        }
        _ => return Ok(None),
    };
    if known.contains(named) {
        return Ok(None);
    }
    let waiting = read.in_delivery(&[Delivery::None, Delivery::Queued]).await?;
    if waiting.iter().any(|proposal| is_named(scope, proposal)) {
        return Ok(None);
    }
    let there_are = if known.is_empty() {
        "there are none".to_owned()
    } else {
        let more = known.len().saturating_sub(NAMES_MAX);
        let listed: Vec<_> = known.into_iter().take(NAMES_MAX).collect();
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("there are: {}{rest}", listed.join(", "))
    };
    Ok(Some(format!("there is no {what} {named}; {there_are}")))
}

/// Whether a change is of the agent or the runbook that a scope names.
fn is_named(scope: &Scope, proposal: &Proposal) -> bool {
    let subject = domain::Subject::from(proposal);
    match scope {
        Scope::Agent(name) => subject.agent == name,
        Scope::Runbook(name) => subject.runbook == Some(name),
        Scope::All | Scope::Path(_) | Scope::Tier(_) => false,
    }
}

/// Stops what a person names, at once. Anybody of the policy may: the caller has seen to that.
///
/// # Errors
/// When the database refuses: then nothing was stopped.
pub async fn stop(store: &Store, by: Orderer, request: StopRequest, now: Timestamp) -> Result<Stopped, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                let standing = tx.standing_stops().await?;
                if let Some(same) = standing.into_iter().find(|stop| stop.scope == request.scope) {
                    return Ok::<_, StoreError>(Stopped::Standing(same));
                }
                let stop = tx.put_stop(request.scope, by.person, now, request.reason).await?;
                let details = json!({ "stop": stop.id, "scope": stop.scope, "reason": stop.reason });
                tx.audit(audit(
                    None,
                    by.actor,
                    "stop",
                    format!("stop {}: {}", stop.id, stop.why()),
                    details,
                    now,
                ))
                .await?;
                let order = OrderId::Stop(stop.id);
                tx.schedule(None, &Effect::TellOrder { order }, now).await?;
                Ok(Stopped::New(stop))
            })
        })
        .await
}

/// One person's wish that a stop ends; `number` may be left out while only one stands. `policy` is the one in force, without regard to locks.
///
/// # Errors
/// When the database refuses.
pub async fn resume(store: &Store, by: Orderer, number: Option<u64>, policy: Arc<Policy>, now: Timestamp) -> Result<Ended, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                let mut standing = tx.standing_stops().await?;
                standing.retain(|stop| number.is_none_or(|number| stop.id == number));
                wished(tx, by, standing.into_iter().map(Order::Stop).collect(), &policy, now).await
            })
        })
        .await
}

/// One person's wish that somebody gets their rights back; `name` may be left out while only one is locked.
///
/// # Errors
/// When the database refuses.
pub async fn unlock(store: &Store, by: Orderer, name: Option<String>, policy: Arc<Policy>, now: Timestamp) -> Result<Ended, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                let mut standing = tx.standing_locks().await?;
                standing.retain(|lock| name.as_ref().is_none_or(|name| lock.person.name.eq_ignore_ascii_case(name)));
                wished(tx, by, standing.into_iter().map(Order::Lock).collect(), &policy, now).await
            })
        })
        .await
}

/// The same wish by the button of the message that tells of exactly this order. `update` is the tap, taken in within the same transaction;
/// `None` is answered when it was taken in before.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn tapped(
    store: &Store,
    update: i64,
    by: Orderer,
    order: OrderId,
    policy: Arc<Policy>,
    now: Timestamp,
) -> Result<Option<Ended>, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                if !tx.consume_update(update, now).await? {
                    return Ok::<_, StoreError>(None);
                }
                let standing = tx.order(order).await?.filter(|(_, ended)| ended.is_none()).map(|(order, _)| order);
                wished(tx, by, standing.into_iter().collect(), &policy, now).await.map(Some)
            })
        })
        .await
}

/// Counts one person's wish that the one order which they mean ends.
async fn wished(tx: &mut Tx, by: Orderer, mut standing: Vec<Order>, policy: &Policy, now: Timestamp) -> Result<Ended, StoreError> {
    let Some(mut order) = standing.pop() else {
        return Ok(Ended::Nothing);
    };
    if !standing.is_empty() {
        standing.push(order);
        return Ok(Ended::Which(standing));
    }
    let (event, mark) = match order {
        Order::Stop(_) => ("resume", "▶️"),
        Order::Lock(_) => ("unlock", "🔓"),
    };
    let may = entitled(tx, policy).await?;
    if order.whose() == Some(by.person.id) || !may(by.person.id) {
        let words = format!("may not ask for the end of {}", order.named());
        tx.audit(audit(None, by.actor, &format!("refused_{event}"), words, json!({}), now))
            .await?;
        return Ok(Ended::NotEntitled);
    }
    let vote = ResumeVote {
        by: by.person.clone(),
        at: now,
    };
    let end = order.end(vote, &may);
    // Where no person is left who may ask, whoever is at the shell is not made to wait for one.
    let alone = by.person.id == OPERATOR && helpers(policy, order.whose(), &may).is_empty();
    let over = end == Resumption::Over || alone;
    let ended_at = over.then_some(now);
    let details = match &order {
        Order::Stop(stop) => {
            tx.set_stop(stop, ended_at).await?;
            json!({ "stop": stop.id, "scope": stop.scope, "over": over })
        }
        Order::Lock(lock) => {
            tx.set_lock(lock, ended_at).await?;
            json!({ "lock": lock.id, "person": lock.person.name, "over": over })
        }
    };
    let (name, what) = (&by.person.name, order.named());
    let words = match end {
        _ if alone => format!("{what} is over: {name} ended it alone, for there is nobody else who may"),
        Resumption::Over => format!("{what} is over: {name} was the second to ask for it"),
        Resumption::Missing(missing) => format!("{name} asks for the end of {what}: {missing} more within the hour"),
    };
    // The chats hear of the end, and of a wish that nobody in them could know of.
    if over || by.person.id == OPERATOR {
        let text = format!("{mark} {words}.");
        tx.schedule(None, &Effect::Announce { text }, now).await?;
    }
    tx.schedule(None, &Effect::TellOrder { order: order.id() }, now).await?;
    tx.audit(audit(None, by.actor, event, words, details, now)).await?;
    Ok(match end {
        Resumption::Missing(missing) if !alone => Ended::Missing(order, missing),
        Resumption::Over | Resumption::Missing(_) => Ended::Over(order),
    })
}

/// Takes a person's own rights away, and what they approved of all that is not sent yet. Answers whether that is new.
///
/// # Errors
/// When the database refuses: then they have them still.
pub async fn lock(store: &Store, person: PersonRef, policy: Arc<Policy>, now: Timestamp) -> Result<bool, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                if !tx.put_lock(&person, now).await? {
                    return Ok::<_, StoreError>(false);
                }
                let actor = Actor::Person(person.clone());
                let summary = format!("{} gave up all rights", person.name);
                tx.audit(audit(None, actor.clone(), "lockme", summary, json!({ "person": person.name }), now))
                    .await?;
                let policy = policy.without(&locked(tx).await?);
                for waiting in tx.in_delivery(&[Delivery::None, Delivery::Queued]).await? {
                    let Some(proposal) = tx.proposal(waiting.id).await? else { continue };
                    let event = Event::Locked { by: person.clone() };
                    let name = event.name();
                    // Refused where they approved nothing: that is most of them.
                    if let Ok(transition) = decide(&proposal, event, &policy, now) {
                        let entry = audit(Some(proposal.id), actor.clone(), name, transition.summary.clone(), json!({}), now);
                        tx.apply(&transition, entry).await?;
                    }
                }
                let standing = tx.standing_locks().await?;
                if let Some(lock) = standing.iter().find(|lock| lock.person.id == person.id) {
                    let order = OrderId::Lock(lock.id);
                    tx.schedule(None, &Effect::TellOrder { order }, now).await?;
                }
                Ok(true)
            })
        })
        .await
}

/// Lets a waiting proposal pass every freeze whose group the person is in. `update` is a tap that is taken in within the same transaction;
/// `None` is answered when it was taken in before.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn pass(
    store: &Store,
    update: Option<i64>,
    id: ProposalId,
    person: PersonRef,
    policy: Arc<Policy>,
    now: Timestamp,
) -> Result<Option<Passed>, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                if let Some(update) = update
                    && !tx.consume_update(update, now).await?
                {
                    return Ok::<_, StoreError>(None);
                }
                let Some(proposal) = tx.proposal(id).await?.filter(|proposal| proposal.delivery == Delivery::Queued) else {
                    return Ok(Some(Passed::NotWaiting));
                };
                let (orders, locked) = tx.orders(id).await?;
                let policy = policy.without(&locked);
                let freezes = frozen(&policy, &proposal, &orders.overridden, now);
                let (passed, rest): (Vec<Freeze>, Vec<Freeze>) =
                    freezes.into_iter().partition(|freeze| policy.may_override(freeze, person.id, now));
                let actor = Actor::Person(person.clone());
                if passed.is_empty() {
                    if rest.is_empty() {
                        return Ok(Some(Passed::NotFrozen));
                    }
                    let words = format!("may not let it pass {}", names(&rest));
                    tx.audit(audit(Some(id), actor, "refused_override", words, json!({}), now)).await?;
                    return Ok(Some(Passed::NotEntitled(rest)));
                }
                for freeze in &passed {
                    let pass = Override {
                        freeze: freeze.name.clone(),
                        by: person.clone(),
                        at: now,
                    };
                    tx.put_override(id, &pass).await?;
                }
                let summary = format!("{} let it pass {}", person.name, names(&passed));
                let freezes: Vec<_> = passed.iter().map(|freeze| freeze.name.as_str()).collect();
                let details = json!({ "freezes": freezes });
                tx.audit(audit(Some(id), actor, "override", summary, details, now)).await?;
                Ok(Some(Passed::Done(passed, rest)))
            })
        })
        .await
}

/// The freezes that hold a proposal and that nobody has let it pass yet.
pub(crate) fn frozen(policy: &Policy, proposal: &Proposal, overridden: &BTreeSet<String>, now: Timestamp) -> Vec<Freeze> {
    let mut freezes = policy.freezes(&proposal.repository, &proposal.revision.facts.paths, now);
    freezes.retain(|freeze| !overridden.contains(&freeze.name));
    freezes
}

/// `the freeze "weekend"`, in a list.
pub(crate) fn names(freezes: &[Freeze]) -> String {
    let names: Vec<_> = freezes.iter().map(|freeze| format!("the freeze {:?}", freeze.name)).collect();
    names.join(" and ")
}

/// Who in the chats may ask for the end of an order. `whose`: the one whose rights it took.
pub(crate) fn helpers(policy: &Policy, whose: Option<UserId>, may: impl Fn(UserId) -> bool) -> Vec<String> {
    let people = policy.people().filter(|person| Some(person.id) != whose && may(person.id));
    people.map(|person| person.name.clone()).collect()
}

/// How an order ends where there are not two people in the chats who may ask for it; `None` where there are.
pub(crate) fn few_words(order: &Order, policy: &Policy) -> Option<String> {
    let (chat, shell) = (order.command(), order.command().replacen('/', "countersign ", 1));
    match helpers(policy, order.whose(), |id| policy.may_resume(id)).as_slice() {
        [] => Some(format!(
            "Nobody in the chat may end it: whoever is at the server does, with `{shell}`."
        )),
        [one] => Some(format!("{chat} by {one}, and `{shell}` at the server, end it.")),
        _ => None,
    }
}

async fn locked(tx: &mut Tx) -> Result<BTreeSet<UserId>, StoreError> {
    Ok(tx.standing_locks().await?.into_iter().map(|lock| lock.person.id).collect())
}

/// Who may ask for an end now. The operator at a shell may: whoever is there could do worse, and alone it ends nothing.
async fn entitled(tx: &mut Tx, policy: &Policy) -> Result<impl Fn(UserId) -> bool + use<>, StoreError> {
    let policy = policy.without(&locked(tx).await?);
    Ok(move |id: UserId| id == OPERATOR || policy.may_resume(id))
}

fn audit(proposal: Option<ProposalId>, actor: Actor, event: &str, summary: String, details: serde_json::Value, at: Timestamp) -> Audit {
    Audit {
        proposal,
        actor,
        event: event.to_owned(),
        summary,
        details,
        at,
    }
}
