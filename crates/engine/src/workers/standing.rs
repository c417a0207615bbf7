//! Keeps what people ordered in memory, and carries an order's consequences to what waits: cards say so, and what is free goes at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Delivery, Effect, Orders, Proposal, ProposalId, Stop, Subject, Tier, UserId};
use store::{Ordered, StoreError};

use super::effects::Ran;
use crate::Engine;

impl Engine {
    /// Reads what stands anew. What an order changed for a proposal is carried there: its cards are edited, and what no longer waits is taken up.
    pub(crate) async fn follow_orders(&self) -> Result<(), StoreError> {
        let _one = self.0.ordering.lock().await;
        let fresh = self.store().read().ordered().await?;
        let old = self.ordered();
        metrics::gauge!("countersign_stops").set(fresh.stops.len() as f64);
        metrics::gauge!("countersign_locked_people").set(fresh.locks.len() as f64);
        if *old == fresh {
            return Ok(());
        }
        let (touched, freed) = differences(&old, &fresh);
        self.0.ordered.store(Arc::new(fresh));
        self.lock_in_force();
        let now = self.now();
        let waiting = [Delivery::None, Delivery::Queued, Delivery::AwaitingCommit];
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for proposal in tx.in_delivery(&waiting).await? {
                        if !touched(&proposal) {
                            continue;
                        }
                        tx.schedule(Some(proposal.id), &Effect::EditCards, now).await?;
                        if !freed(&proposal) {
                            continue;
                        }
                        let owed = match (proposal.delivery, proposal.tier()) {
                            (Delivery::Queued, _) => Some(Effect::Deliver),
                            (Delivery::None, Tier::Manual) => Some(Effect::Prepare),
                            _ => None,
                        };
                        if let Some(effect) = owed {
                            let due = proposal.hold_until.map_or(now, |until| until.max(now));
                            tx.schedule(Some(proposal.id), &effect, due).await?;
                        }
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// What stands, as of the last look.
    pub(crate) fn ordered(&self) -> Arc<Ordered> {
        self.0.ordered.load_full()
    }

    /// Who has no rights, as of the last look.
    pub(crate) fn locked(&self) -> BTreeSet<UserId> {
        self.ordered().locks.iter().map(|lock| lock.person.id).collect()
    }

    /// What people ordered about one proposal, as of the last look.
    pub(crate) fn orders_of(&self, id: ProposalId) -> Orders {
        let ordered = self.ordered();
        let passed = ordered.overrides.get(&id).into_iter().flatten();
        Orders {
            stops: ordered.stops.clone(),
            overridden: passed.map(|pass| pass.freeze.clone()).collect(),
        }
    }

    /// The stops that cover a proposal, as of the last look.
    pub(crate) fn stops_over(&self, proposal: &Proposal) -> Vec<Stop> {
        let subject = Subject::from(proposal);
        self.ordered().stops.iter().filter(|stop| stop.covers(&subject)).cloned().collect()
    }

    /// Something that everybody must hear of: in every chat, with sound.
    pub(super) async fn announce(&self, text: &str) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let mut told = BTreeSet::new();
        for place in self.all_places() {
            if !told.insert((place.chat, place.thread)) {
                continue;
            }
            match telegram
                .queue
                .send(place.chat, place.thread, telegram::message(text), true, None)
                .await
            {
                Ok(_) | Err(telegram::SendError::Ambiguous { .. }) => {}
                Err(error) => return Ran::Failed(error.to_string()),
            }
        }
        Ran::Done
    }
}

type Test = Box<dyn Fn(&Proposal) -> bool + Send>;

/// Which proposals an order touched, and which of these are freer than before.
fn differences(old: &Ordered, fresh: &Ordered) -> (Test, Test) {
    let missing = |from: &Ordered, of: &Ordered| -> Vec<Stop> {
        let there = |stop: &&Stop| !from.stops.iter().any(|known| known.id == stop.id);
        of.stops.iter().filter(there).cloned().collect()
    };
    let (begun, ended) = (missing(old, fresh), missing(fresh, old));
    let passed: BTreeSet<ProposalId> = fresh
        .overrides
        .iter()
        .filter(|(id, passes)| old.overrides.get(id) != Some(passes))
        .map(|(id, _)| *id)
        .collect();
    let covers = |stops: &[Stop], proposal: &Proposal| stops.iter().any(|stop| stop.covers(&Subject::from(proposal)));
    let (ended_too, passed_too) = (ended.clone(), passed.clone());
    let freed = move |proposal: &Proposal| covers(&ended_too, proposal) || passed_too.contains(&proposal.id);
    let touched = move |proposal: &Proposal| covers(&begun, proposal) || covers(&ended, proposal) || passed.contains(&proposal.id);
    (Box::new(touched), Box::new(freed))
}
