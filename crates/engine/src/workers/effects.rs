//! Claiming what is due, and who executes which effect.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Effect, Event, ProposalId, RepositoryName, Timestamp};
use store::{Claimed, StoreError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Engine;

/// Effects executed at the same time, apart from deliveries: more would only wait for the same chats.
const AT_ONCE: usize = 32;
/// Longest sleep between two looks at the outbox: bounds the damage of a missed bell.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Every effect's word.
const ALL: [&str; 21] = [
    "send_card",
    "edit_cards",
    "notify",
    "remind",
    "escalate",
    "expire",
    "deliver",
    "prepare",
    "watch_landing",
    "observe",
    "close_reason",
    "alarm",
    "announce",
    "tell_order",
    "tell_offer",
    "close_offer",
    "quota",
    "mark_reverted",
    "weigh_trust",
    "tell",
    "digest",
];

/// Who takes the deliveries of each repository.
pub(crate) type Owners = BTreeMap<RepositoryName, mpsc::UnboundedSender<Held>>;

/// Where effects go that have an owner of their own.
pub(super) struct Lanes {
    pub owners: Owners,
    pub observed: mpsc::UnboundedSender<Held>,
}

/// A claimed effect that its owner finishes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub effect_id: i64,
    pub proposal: ProposalId,
}

/// What became of an effect.
pub(crate) enum Ran {
    /// Done, for good.
    Done,
    /// Look again at this time; not a failure.
    Again(Timestamp),
    /// Failed; try again later.
    Failed(String),
    /// Its owner finishes it.
    HandedOn,
}

impl Engine {
    pub(super) async fn claim_all(self, lanes: Lanes, tracker: TaskTracker, cancel: CancellationToken) {
        let permits = std::sync::Arc::new(Semaphore::new(AT_ONCE));
        let lanes = std::sync::Arc::new(lanes);
        let mut bell = self.store().due();
        loop {
            let claimed = match self.claim().await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read");
                    Vec::new()
                }
            };
            let idle = claimed.is_empty();
            for effect in claimed {
                let (engine, lanes, permits) = (self.clone(), lanes.clone(), permits.clone());
                tracker.spawn(async move {
                    // Closed never: the semaphore lives as long as this loop.
                    let _permit = permits.acquire_owned().await;
                    engine.run(effect, &lanes).await;
                });
            }
            if !idle {
                if cancel.is_cancelled() {
                    return;
                }
                continue;
            }
            let wait = self.until_next().await;
            tokio::select! {
                () = cancel.cancelled() => return,
                () = bell.rung() => {}
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn claim(&self) -> Result<Vec<Claimed>, StoreError> {
        let now = self.now();
        if self.store().read().next_due().await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let until = self.lease_until(now);
        self.store()
            .write(move |tx| Box::pin(async move { tx.claim(now, until, 256, &ALL).await }))
            .await
    }

    /// Whether the workers run, so that something can be handed over.
    pub(crate) fn has_owners(&self) -> bool {
        self.0.owners.get().is_some()
    }

    /// When a lease that is taken now ends.
    pub(crate) fn lease_until(&self, now: Timestamp) -> Timestamp {
        now + chrono::Duration::from_std(self.limits().lease).unwrap_or(chrono::Duration::minutes(5))
    }

    /// Gives a delivery, claimed in the transaction that owed it, to the branch's owner: an approval does not wait for a look at the outbox.
    pub(crate) fn hand_over(&self, repository: &RepositoryName, held: Held) {
        self.crash("effect:deliver:before");
        let owner = self.0.owners.get().and_then(|owners| owners.get(repository));
        // Without an owner, or with one that is stopping, the lease ends and the effect is claimed again.
        if owner.is_none_or(|owner| owner.send(held).is_err()) {
            tracing::warn!(proposal = %held.proposal, "nobody takes the delivery now; it is looked at again when its lease ends");
        }
        self.crash("effect:deliver:executed");
    }

    async fn until_next(&self) -> Duration {
        match self.store().read().next_due().await {
            Ok(Some(due)) => (due - self.now())
                .to_std()
                .unwrap_or(Duration::ZERO)
                .clamp(Duration::from_millis(5), LOOK_EVERY),
            Ok(None) | Err(_) => LOOK_EVERY,
        }
    }

    async fn run(&self, claimed: Claimed, lanes: &Lanes) {
        let (effect_id, attempts, key, proposal) = (claimed.effect_id, claimed.attempts, claimed.effect.key(), claimed.proposal);
        let about = proposal.map(|id| id.to_string());
        // What only looks is never given up: whoever it watches for may take days, and a remote may be away as long.
        let patient = matches!(claimed.effect, Effect::WatchLanding);
        self.crash(&format!("effect:{key}:before"));
        // A panic in one effect is parked with an alarm; the others go on.
        let ran = {
            let (engine, held) = (self.clone(), lanes.clone_senders());
            tokio::spawn(async move { engine.execute(claimed, &held).await }).await
        };
        self.crash(&format!("effect:{key}:executed"));
        let result = match ran {
            Ok(Ran::HandedOn) => return,
            Ok(Ran::Done) => self.finish(effect_id).await,
            Ok(Ran::Again(due)) => self.postpone(effect_id, due, None).await,
            Ok(Ran::Failed(why)) if attempts >= self.limits().attempts && !patient => {
                tracing::error!(proposal = about, effect = key, %why, "given up after {attempts} attempts; parked");
                self.park(effect_id, proposal, key, why).await
            }
            Ok(Ran::Failed(why)) => {
                tracing::warn!(proposal = about, effect = key, attempts, %why, "an effect failed; tried again");
                self.hold_off(effect_id, self.now() + backoff(attempts), why).await
            }
            Err(panicked) => {
                tracing::error!(proposal = about, effect = key, %panicked, "an effect panicked; parked");
                self.park(effect_id, proposal, key, panicked.to_string()).await
            }
        };
        if let Err(error) = result {
            // The lease ends by itself and the effect is claimed again.
            tracing::error!(proposal = about, effect = key, %error, "an effect's end could not be recorded");
        }
        self.crash(&format!("effect:{key}:recorded"));
    }

    async fn execute(&self, claimed: Claimed, lanes: &Lanes) -> Ran {
        let Some(id) = claimed.proposal else {
            return match claimed.effect {
                Effect::Alarm { text } => self.post_alarm(None, &text).await,
                Effect::Tell { text } => self.post_told(&text).await,
                Effect::Digest { chat, thread } => self.post_digest(chat, thread).await,
                Effect::Announce { text } => self.announce(&text).await,
                Effect::TellOrder { order } => self.tell_order(order).await,
                Effect::TellOffer {
                    offer,
                    repository,
                    text,
                    lines,
                    after,
                } => self.tell_offer(offer, &repository, [&text, &lines, &after]).await,
                Effect::CloseOffer { offer, text } => self.close_offer(offer, &text).await,
                Effect::Quota { agent, repository } => self.tell_quota(&agent, &repository).await,
                other => Ran::Failed(format!("{} belongs to no proposal", other.key())),
            };
        };
        let held = Held {
            effect_id: claimed.effect_id,
            proposal: id,
        };
        match claimed.effect {
            Effect::SendCard => self.send_cards(id).await,
            Effect::EditCards => self.edit_cards(id).await,
            Effect::Notify => self.notify(id).await,
            Effect::Remind => self.remind(id).await,
            Effect::Escalate => self.escalate(id).await,
            Effect::Expire => self.quiet(id, Event::Expire).await,
            Effect::CloseReason => self.close_windows(id).await,
            Effect::Alarm { text } => self.post_alarm(Some(id), &text).await,
            Effect::Announce { text } => self.announce(&text).await,
            Effect::TellOrder { order } => self.tell_order(order).await,
            Effect::Quota { agent, repository } => self.tell_quota(&agent, &repository).await,
            Effect::TellOffer { .. } | Effect::CloseOffer { .. } => Ran::Failed("an offer belongs to no proposal".to_owned()),
            Effect::Prepare => self.prepare(id).await,
            Effect::WatchLanding => self.watch_landing(id).await,
            Effect::MarkReverted => self.mark_reverted(id).await,
            Effect::Tell { text } => self.post_told(&text).await,
            Effect::Digest { chat, thread } => self.post_digest(chat, thread).await,
            Effect::WeighTrust => self.weigh_trust(id).await,
            Effect::Observe => handed(lanes.observed.send(held).is_ok()),
            Effect::Deliver => match self.store().read().proposal(id).await {
                Ok(Some(proposal)) => match lanes.owners.get(&proposal.repository) {
                    Some(owner) => handed(owner.send(held).is_ok()),
                    None => Ran::Failed(format!("repository {} is no longer configured", proposal.repository)),
                },
                Ok(None) => Ran::Done,
                Err(error) => Ran::Failed(error.to_string()),
            },
        }
    }

    async fn quiet(&self, id: ProposalId, event: Event) -> Ran {
        match self.happen(id, event).await {
            Ok(_) => Ran::Done,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    /// The undone proposal follows the chain: an even number of delivered reverts, each of the one before, means that it is there.
    async fn mark_reverted(&self, id: ProposalId) -> Ran {
        match self.store().read().proposal(id).await {
            Ok(Some(proposal)) => match proposal.origin {
                domain::Origin::Revert { of, .. } if proposal.is_delivered() => self.quiet(of, Event::Reverted { by: id }).await,
                domain::Origin::Revert { of, .. } => self.quiet(of, Event::Restored { by: id }).await,
                domain::Origin::Change | domain::Origin::Runbook(_) | domain::Origin::Observed(_) => Ran::Done,
            },
            Ok(None) => Ran::Done,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    pub(super) async fn finish(&self, effect_id: i64) -> Result<(), StoreError> {
        self.store()
            .write(move |tx| Box::pin(async move { tx.finish(effect_id).await }))
            .await
    }

    pub(super) async fn postpone(&self, effect_id: i64, due: Timestamp, why: Option<String>) -> Result<(), StoreError> {
        self.store()
            .write(move |tx| Box::pin(async move { tx.postpone(effect_id, due, why.as_deref()).await }))
            .await
    }

    /// Again later, because it failed.
    pub(super) async fn hold_off(&self, effect_id: i64, due: Timestamp, why: String) -> Result<(), StoreError> {
        self.store()
            .write(move |tx| Box::pin(async move { tx.hold_off(effect_id, due, &why).await }))
            .await
    }

    /// Puts an effect aside and says so in the chats.
    async fn park(&self, effect_id: i64, proposal: Option<ProposalId>, key: &'static str, why: String) -> Result<(), StoreError> {
        metrics::counter!("countersign_effects_parked_total").increment(1);
        let now = self.now();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.park(effect_id, &why).await?;
                    if key != "alarm" {
                        let text = format!("{key} was given up and needs an operator: {why}");
                        tx.schedule(proposal, &Effect::Alarm { text }, now).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }
}

impl Lanes {
    fn clone_senders(&self) -> Self {
        Self {
            owners: self.owners.clone(),
            observed: self.observed.clone(),
        }
    }
}

fn handed(sent: bool) -> Ran {
    if sent {
        Ran::HandedOn
    } else {
        Ran::Failed("the service is stopping".to_owned())
    }
}

/// 1, 2, 4 … seconds, at most five minutes.
pub(super) fn backoff(attempts: u32) -> chrono::Duration {
    chrono::Duration::seconds(1i64 << attempts.clamp(1, 9).saturating_sub(1)).min(chrono::Duration::minutes(5))
}
