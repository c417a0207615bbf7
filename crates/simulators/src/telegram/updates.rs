//! The queue of updates: numbering, expiry, confirmation by offset, which kinds are wanted, and the webhook's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Kinds that are only sent when `allowed_updates` names them.
const ONLY_ON_REQUEST: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];

/// One update that the bot has not confirmed.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) id: i64,
    pub(super) body: Value,
    expires_at_ms: i64,
    /// Order is kept within one queue only: per person for taps, per chat for the rest.
    pub(super) queue: i64,
    /// Sent again on purpose: delivered whatever the offset, once.
    again: bool,
    /// Webhook: when to try, how often it failed, whether a request is under way.
    pub(super) due_ms: i64,
    pub(super) delay_s: i64,
    pub(super) fails: u32,
    pub(super) in_flight: bool,
}

/// All updates of the bot.
#[derive(Debug)]
pub(super) struct Updates {
    queue: Vec<Queued>,
    seen: BTreeMap<i64, Value>,
    next_id: i64,
    pub(super) allowed: Vec<String>,
    pub(super) held: bool,
    /// The long poll that waits now, and how many there have been.
    pub(super) poll: Option<u64>,
    pub(super) polls: u64,
    /// Why the last waiting poll was ended from outside.
    pub(super) ended_by_webhook: bool,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            queue: Vec::new(),
            seen: BTreeMap::new(),
            next_id: 731_000_001,
            allowed: Vec::new(),
            held: false,
            poll: None,
            polls: 0,
            ended_by_webhook: false,
        }
    }
}

impl Updates {
    /// Queues an update unless the bot does not want its kind; returns its id.
    pub(super) fn push(&mut self, kind: &str, body: Value, now_ms: i64, life: Duration, queue: i64) -> Option<i64> {
        let wanted = if self.allowed.is_empty() {
            !ONLY_ON_REQUEST.contains(&kind)
        } else {
            self.allowed.iter().any(|allowed| allowed == kind)
        };
        if !wanted {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        let body = json!({ "update_id": id, kind: body });
        self.seen.insert(id, body.clone());
        let life_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        self.enqueue(id, body, now_ms, now_ms.saturating_add(life_ms), queue, false);
        Some(id)
    }

    fn enqueue(&mut self, id: i64, body: Value, now_ms: i64, expires_at_ms: i64, queue: i64, again: bool) {
        let queued = Queued {
            id,
            body,
            expires_at_ms,
            queue,
            again,
            due_ms: now_ms,
            delay_s: 1,
            fails: 0,
            in_flight: false,
        };
        self.queue.push(queued);
    }

    /// Sends an earlier update once more under its old number. False when there was no such update.
    pub(super) fn again(&mut self, id: i64, now_ms: i64) -> bool {
        let Some(body) = self.seen.get(&id).cloned() else { return false };
        self.enqueue(id, body, now_ms, i64::MAX, -id, true);
        true
    }

    /// Queues an arbitrary body under the next number, whatever its kind.
    pub(super) fn push_raw(&mut self, mut body: Value, now_ms: i64) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        body["update_id"] = json!(id);
        self.seen.insert(id, body.clone());
        self.enqueue(id, body, now_ms, i64::MAX, -id, false);
        id
    }

    /// Puts waiting updates into this order; those not named come after, as they were.
    pub(super) fn reorder(&mut self, order: &[i64]) {
        let place = |id: i64| order.iter().position(|wanted| *wanted == id).unwrap_or(usize::MAX);
        self.queue.sort_by_key(|queued| place(queued.id));
    }

    /// Number the next update will get minus one: the newest so far.
    pub(super) fn newest(&self) -> i64 {
        self.next_id - 1
    }

    /// Updates made after this one.
    pub(super) fn newer_than(&self, id: i64) -> impl Iterator<Item = &Value> {
        self.seen.range(id + 1..).map(|(_, body)| body)
    }

    pub(super) fn pending(&self, now_ms: i64) -> impl Iterator<Item = &Queued> {
        self.queue.iter().filter(move |queued| queued.expires_at_ms > now_ms)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Confirms everything below `offset`; a negative one keeps only that many from the end.
    pub(super) fn confirm(&mut self, offset: i64) {
        if offset > 0 {
            self.queue.retain(|queued| queued.id >= offset || queued.again);
        } else if offset < 0 {
            let keep = usize::try_from(-offset).unwrap_or(usize::MAX);
            let cut = self.queue.len().saturating_sub(keep);
            self.queue.drain(..cut);
        }
    }

    /// What a `getUpdates` gets now.
    pub(super) fn take(&mut self, now_ms: i64, limit: usize) -> Vec<Value> {
        self.queue.retain(|queued| queued.expires_at_ms > now_ms);
        if self.held {
            return Vec::new();
        }
        let batch: Vec<Value> = self.queue.iter().take(limit).map(|queued| queued.body.clone()).collect();
        let mut place = 0;
        self.queue.retain(|queued| {
            place += 1;
            place > limit || !queued.again
        });
        batch
    }

    /// The webhook's next deliveries: the first of every queue that is due and not under way.
    pub(super) fn due(&mut self, now_ms: i64, room: usize) -> Vec<Queued> {
        self.queue.retain(|queued| queued.in_flight || queued.expires_at_ms > now_ms);
        if self.held {
            return Vec::new();
        }
        let mut busy: Vec<i64> = Vec::new();
        let mut due = Vec::new();
        for queued in &mut self.queue {
            if busy.contains(&queued.queue) {
                continue;
            }
            busy.push(queued.queue);
            if !queued.in_flight && queued.due_ms <= now_ms && due.len() < room {
                queued.in_flight = true;
                due.push(queued.clone());
            }
        }
        due
    }

    pub(super) fn in_flight(&self) -> usize {
        self.queue.iter().filter(|queued| queued.in_flight).count()
    }

    /// When the earliest postponed delivery is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.queue
            .iter()
            .filter(|queued| !queued.in_flight)
            .map(|queued| queued.due_ms)
            .min()
    }

    /// Drops a delivered update.
    pub(super) fn delivered(&mut self, id: i64) {
        if let Some(place) = self.queue.iter().position(|queued| queued.id == id && queued.in_flight) {
            self.queue.remove(place);
        }
    }

    /// Postpones a failed delivery: at once the first time, then 1 s doubling to a minute, or as the receiver's `Retry-After` asks (at most an hour).
    pub(super) fn failed(&mut self, id: i64, now_ms: i64, retry_after_s: i64) {
        let Some(queued) = self.queue.iter_mut().find(|queued| queued.id == id && queued.in_flight) else {
            return;
        };
        let retry_after_s = retry_after_s.clamp(0, 3600);
        let wait_s = if retry_after_s == 0 && queued.fails > 0 {
            queued.delay_s = (queued.delay_s * 2).min(60);
            queued.delay_s
        } else {
            retry_after_s
        };
        queued.fails += 1;
        queued.in_flight = false;
        queued.due_ms = now_ms + wait_s * 1000;
        if queued.due_ms > queued.expires_at_ms {
            self.queue.retain(|queued| queued.id != id);
        }
    }
}

/// The settings of `setWebhook`.
#[derive(Clone, Default)]
pub(super) struct Webhook {
    /// Empty: no webhook.
    pub(super) url: String,
    pub(super) secret: Option<String>,
    pub(super) max_connections: usize,
    /// Rises with every change, so that deliveries for an older address stop.
    pub(super) generation: u64,
    /// Unix seconds and words of the last failure.
    pub(super) last_error: Option<(i64, String)>,
}
