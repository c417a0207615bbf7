//! One chat's lane: one call in flight, edits before new messages, pauses that harm nobody else.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calls::Target;
use crate::pace::Pace;
use crate::queue::Render;
use crate::{ChatId, Client, Document, Limits, MessageId, Rendered, SendError, SentMessage};

/// How often one job is tried when Telegram keeps asking to wait.
const TRIES_MAX: u32 = 4;
/// After so many edits in a row a new message gets its turn: with hundreds of cards in motion it would wait for ever.
const EDITS_IN_A_ROW: u32 = 4;
/// How long a caller may take to render a card before the lane goes on.
const RENDER_MAX: Duration = Duration::from_secs(30);

type Done<T> = oneshot::Sender<Result<T, SendError>>;

/// Something to send.
pub(crate) enum Job {
    Send {
        to: Target,
        message: Box<Rendered>,
        done: Done<SentMessage>,
    },
    Document {
        to: Target,
        document: Document,
        done: Done<MessageId>,
    },
}

struct Edit {
    message: MessageId,
    render: Render,
    done: Vec<Done<()>>,
}

enum Next {
    Edit(Edit),
    Job(Job),
}

#[derive(Default)]
struct Jobs {
    edits: VecDeque<Edit>,
    others: VecDeque<Job>,
    edits_in_a_row: u32,
}

#[derive(Default)]
struct Inbox {
    jobs: Mutex<Jobs>,
    wake: Notify,
}

/// The way in.
#[derive(Clone)]
pub(crate) struct Lane {
    inbox: Arc<Inbox>,
}

impl Lane {
    pub(crate) fn start(client: Client, chat: ChatId, limits: &Limits, overall: Arc<Pace>, stop: CancellationToken) -> Self {
        let second = (limits.burst, limits.per_chat_second, Duration::from_secs(1));
        let minute = (limits.per_chat_minute, limits.per_chat_minute, Duration::from_secs(60));
        // The limit per minute is one of groups.
        let own = if chat.is_private() {
            Pace::new(&[second])
        } else {
            Pace::new(&[second, minute])
        };
        let inbox = Arc::new(Inbox::default());
        let worker = Worker {
            client,
            chat,
            own,
            overall,
            inbox: Arc::clone(&inbox),
            wait_max: limits.wait_max,
            paused_until: None,
            tries: 0,
        };
        tokio::spawn(worker.run(stop));
        Self { inbox }
    }

    pub(crate) fn push(&self, job: Job) {
        self.inbox.lock().others.push_back(job);
        self.inbox.wake.notify_one();
    }

    pub(crate) fn push_edit(&self, message: MessageId, render: Render, done: Done<()>) {
        self.inbox.add_edit(Edit {
            message,
            render,
            done: vec![done],
        });
        self.inbox.wake.notify_one();
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A newer edit takes the waiting one's place in the line, and its waiters.
    fn add_edit(&self, edit: Edit) {
        let mut jobs = self.lock();
        match jobs.edits.iter_mut().find(|waiting| waiting.message == edit.message) {
            Some(waiting) => {
                waiting.render = edit.render;
                waiting.done.extend(edit.done);
            }
            None => jobs.edits.push_back(edit),
        }
    }

    /// Puts an edit back that Telegram did not take; one that came meanwhile is newer and stays.
    fn return_edit(&self, edit: Edit) {
        let mut jobs = self.lock();
        match jobs.edits.iter_mut().find(|waiting| waiting.message == edit.message) {
            Some(newer) => newer.done.extend(edit.done),
            None => jobs.edits.push_front(edit),
        }
    }

    fn is_empty(&self) -> bool {
        let jobs = self.lock();
        jobs.edits.is_empty() && jobs.others.is_empty()
    }

    /// Edits first, with a turn for new messages now and then.
    fn next(&self) -> Option<Next> {
        let mut jobs = self.lock();
        if (jobs.edits_in_a_row < EDITS_IN_A_ROW || jobs.others.is_empty())
            && let Some(edit) = jobs.edits.pop_front()
        {
            jobs.edits_in_a_row += 1;
            return Some(Next::Edit(edit));
        }
        jobs.edits_in_a_row = 0;
        jobs.others.pop_front().map(Next::Job)
    }

    /// Drops what nobody waits for any more: a caller that gave up will come again, and must not find its message twice.
    fn forget_abandoned(&self) {
        let mut jobs = self.lock();
        jobs.edits.retain(|edit| edit.done.iter().any(|done| !done.is_closed()));
        jobs.others.retain(|job| match job {
            Job::Send { done, .. } => !done.is_closed(),
            Job::Document { done, .. } => !done.is_closed(),
        });
    }
}

struct Worker {
    client: Client,
    chat: ChatId,
    own: Pace,
    overall: Arc<Pace>,
    inbox: Arc<Inbox>,
    wait_max: Duration,
    paused_until: Option<Instant>,
    /// Consecutive answers "wait".
    tries: u32,
}

impl Worker {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let ready = async {
                while self.inbox.is_empty() {
                    self.inbox.wake.notified().await;
                }
                self.permit().await
            };
            let permit = tokio::select! {
                () = stop.cancelled() => return,
                permit = ready => permit,
            };
            // The job is taken only now: while the lane waited, newer content and edits may have come.
            self.inbox.forget_abandoned();
            let Some(next) = self.inbox.next() else { continue };
            let outcome = match permit {
                Err(wait) => {
                    refuse(next, wait);
                    continue;
                }
                Ok(()) => AssertUnwindSafe(self.execute(next)).catch_unwind().await,
            };
            if outcome.is_err() {
                tracing::error!(chat = %self.chat, "rendering or sending a message panicked; the lane goes on");
            }
        }
    }

    /// Waits for this chat's pause and both limits; an error when the pause is too long to sit out.
    async fn permit(&self) -> Result<(), Duration> {
        if let Some(until) = self.paused_until {
            let left = until.saturating_duration_since(Instant::now());
            if left > self.wait_max {
                return Err(left);
            }
            tokio::time::sleep(left).await;
        }
        self.own.take().await;
        self.overall.take().await;
        Ok(())
    }

    async fn execute(&mut self, next: Next) {
        match next {
            Next::Edit(edit) => self.edit(edit).await,
            Next::Job(Job::Send { to, message, done }) => {
                let result = self.text(to, &message).await;
                let Some(message_id) = self.settle(result, (message, done), |(message, done)| Job::Send { to, message, done }) else {
                    return;
                };
                let (message_id, (message, done)) = message_id;
                let _ = done.send(match message_id {
                    Ok(id) => Ok(self.with_document(to, id, message.document).await),
                    Err(error) => Err(error),
                });
            }
            Next::Job(Job::Document { to, document, done }) => {
                let result = self.client.send_document(to, &document).await;
                if let Some((result, (_, done))) =
                    self.settle(result, (document, done), |(document, done)| Job::Document { to, document, done })
                {
                    let _ = done.send(result);
                }
            }
        }
    }

    /// Notes a "wait" for this chat. True when the job should be tried again after it.
    fn must_wait(&mut self, error: &SendError) -> bool {
        let SendError::RetryAfter(wait) = error else {
            self.tries = 0;
            return false;
        };
        self.tries += 1;
        self.paused_until = Some(Instant::now() + *wait);
        tracing::warn!(chat = %self.chat, seconds = wait.as_secs(), "Telegram asks to wait before the next message to this chat");
        let again = *wait <= self.wait_max && self.tries < TRIES_MAX;
        if !again {
            self.tries = 0;
        }
        again
    }

    /// Hands back what to tell the caller; or nothing, when the job went back to the head of its line.
    fn settle<T, K>(&mut self, result: Result<T, SendError>, kept: K, again: impl FnOnce(K) -> Job) -> Option<(Result<T, SendError>, K)> {
        if let Err(error) = &result
            && self.must_wait(error)
        {
            self.inbox.lock().others.push_front(again(kept));
            return None;
        }
        if result.is_ok() {
            self.tries = 0;
        }
        Some((result, kept))
    }

    async fn text(&self, to: Target, message: &Rendered) -> Result<MessageId, SendError> {
        match self.client.send_text(to, &message.html, true, &message.keyboard).await {
            Err(SendError::BadMarkup { reason }) => {
                tracing::error!(chat = %self.chat, %reason, "Telegram did not accept the card's markup; sending it as plain text");
                self.client.send_text(to, &message.plain, false, &message.keyboard).await
            }
            other => other,
        }
    }

    async fn with_document(&mut self, to: Target, message_id: MessageId, document: Option<Document>) -> SentMessage {
        let mut sent = SentMessage {
            message_id,
            document_message_id: None,
            document_error: None,
        };
        let Some(document) = document else { return sent };
        let below = Target {
            reply_to: Some(message_id),
            notify: false,
            ..to
        };
        loop {
            let result = match self.permit().await {
                Ok(()) => self.client.send_document(below, &document).await,
                Err(wait) => Err(SendError::RetryAfter(wait)),
            };
            match result {
                Ok(id) => sent.document_message_id = Some(id),
                Err(error) if self.must_wait(&error) => continue,
                Err(error) => sent.document_error = Some(error),
            }
            return sent;
        }
    }

    async fn edit(&mut self, edit: Edit) {
        let result = match tokio::time::timeout(RENDER_MAX, (edit.render)()).await {
            Err(_) => Err(SendError::Other("the card could not be rendered in time".into())),
            Ok(None) => Ok(()),
            Ok(Some(card)) => self.replace(edit.message, &card).await,
        };
        match &result {
            Err(error) if self.must_wait(error) => return self.inbox.return_edit(edit),
            Err(_) => {}
            Ok(()) => self.tries = 0,
        }
        for done in edit.done {
            let _ = done.send(result.clone());
        }
    }

    async fn replace(&self, message: MessageId, card: &Rendered) -> Result<(), SendError> {
        match self.client.edit_text(self.chat, message, &card.html, true, &card.keyboard).await {
            Err(SendError::BadMarkup { reason }) => {
                tracing::error!(chat = %self.chat, %reason, "Telegram did not accept the card's markup; showing it as plain text");
                self.client.edit_text(self.chat, message, &card.plain, false, &card.keyboard).await
            }
            other => other,
        }
    }
}

/// Tells a caller to come back later: this chat's pause is longer than the queue waits.
fn refuse(next: Next, wait: Duration) {
    let error = SendError::RetryAfter(wait);
    match next {
        Next::Edit(edit) => edit.done.into_iter().for_each(|done| drop(done.send(Err(error.clone())))),
        Next::Job(Job::Send { done, .. }) => drop(done.send(Err(error))),
        Next::Job(Job::Document { done, .. }) => drop(done.send(Err(error))),
    }
}
