//! Keeps what people ordered in memory, and carries an order's consequences to what waits: cards say so, and what is free goes at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Delivery, Effect, Order, OrderId, Orders, Proposal, ProposalId, RESUME_SECONDS, Stop, Subject, Tier, Timestamp, UserId};
use store::{Ordered, Post, StoreError};
use telegram::{Action, Nonce, OrderPost};

use super::effects::Ran;
use crate::orders::OPERATOR;
use crate::{Engine, TelegramSetup};

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

    /// Tells every chat of a stop or lock, with sound and with a button that ends it; what tells of it already is edited to what stands.
    /// A chat that answered unclearly may be told twice.
    pub(super) async fn tell_order(&self, id: OrderId) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        // Before anything is sent: a wish that is shown and whose hour ends meanwhile must be looked at once more.
        let now = self.now();
        let (order, over, posts) = match self.told_order(id).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ran::Done,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let (mut done, mut failed) = (BTreeSet::new(), None);
        for place in self.all_places() {
            let here = |post: &&Post| (post.chat, post.thread) == (place.chat.0, place.thread.map(|thread| thread.0));
            if !done.insert((place.chat, place.thread)) {
                continue;
            }
            let known = posts.iter().rev().filter(here).find(|post| post.message.is_some());
            let told = match known {
                Some(post) => self.edit_order(telegram, id, post).await,
                // Its end is told anyhow.
                None if over.is_some() => continue,
                None => {
                    let nonce = Nonce::from_bytes(self.random());
                    let rendered = telegram::order(&self.order_post(&order, over), &self.options(telegram, Some(nonce)));
                    let to = (place.chat, place.thread);
                    self.send_post(telegram, to, (Some(id.into()), Vec::new()), nonce, rendered, true)
                        .await
                }
            };
            // One chat that cannot be reached keeps nothing from the others.
            if let Err(ran) = told {
                failed = Some(ran);
            }
        }
        if let Some(ran) = failed {
            return ran;
        }
        // A wish counts for a while: the message says so when it no longer does.
        let first = order.fresh(now).map(|vote| vote.at).min();
        match first.filter(|_| over.is_none()) {
            Some(at) => Ran::Again(at + chrono::Duration::seconds(RESUME_SECONDS)),
            None => Ran::Done,
        }
    }

    async fn told_order(&self, id: OrderId) -> Result<Option<(Order, Option<Timestamp>, Vec<Post>)>, StoreError> {
        let read = self.store().read();
        let Some((order, over)) = read.order(id).await? else {
            return Ok(None);
        };
        Ok(Some((order, over, read.posts_of(id.into()).await?)))
    }

    async fn edit_order(&self, telegram: &TelegramSetup, id: OrderId, post: &Post) -> Result<(), Ran> {
        let (engine, nonce) = (self.clone(), post.nonce.parse().ok());
        let render = move || {
            let engine = engine.clone();
            async move {
                let (order, over) = engine.store().read().order(id).await.ok().flatten()?;
                let options = engine.options(engine.telegram()?, nonce);
                Some(telegram::order(&engine.order_post(&order, over), &options))
            }
        };
        self.edit_post(telegram, post, render).await
    }

    /// What the message of a stop or lock shows.
    fn order_post(&self, order: &Order, over: Option<Timestamp>) -> OrderPost {
        let (policy, now) = (self.book().policy.clone(), self.now());
        let counts = |id: UserId| order.whose() != Some(id) && (id == OPERATOR || policy.may_resume(id));
        let wished = order.fresh(over.unwrap_or(now)).filter(|vote| over.is_some() || counts(vote.by.id));
        let (what, means, ends) = match order {
            Order::Stop(stop) => (
                stop.why(),
                "Nothing that it covers is sent; approvals are kept.".to_owned(),
                Action::Resume,
            ),
            Order::Lock(lock) => (
                format!("{} gave up all rights", lock.person.name),
                "What they approve does not count, nor what they approved and is not sent yet.".to_owned(),
                Action::Unlock,
            ),
        };
        OrderPost {
            what,
            means,
            ends,
            command: order.command(),
            helped: crate::orders::few_words(order, &policy),
            wished: wished.map(|vote| vote.by.name.clone()).collect(),
            over,
        }
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
