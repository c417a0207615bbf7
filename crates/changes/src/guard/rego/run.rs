//! One change's evaluation, in a thread of its own: whatever a policy does, there is an answer when its time is up.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::{Outcome, Weight, last_line, read};

/// How long is waited beyond the limit: the evaluator looks at its clock between steps, and knows best what took so long.
const GRACE: Duration = Duration::from_millis(500);
/// Evaluations that nobody waits for any more and that still run. Beyond them none is begun.
const LEFT_BEHIND_MAX: isize = 2;

static LEFT_BEHIND: AtomicIsize = AtomicIsize::new(0);

/// One change's evaluation: all its documents share the time limit, which begins with the first.
pub(in crate::guard) struct Run {
    limit: Duration,
    state: State,
}

enum State {
    Ready(Box<Evaluation>),
    Going(Going),
    /// Nothing more is asked; why was said.
    Stopped,
}

/// The two ends of the thread that evaluates.
struct Going {
    documents: Sender<serde_json::Value>,
    answers: Receiver<Answer>,
    deadline: Instant,
    /// Set by whoever is first: the thread at its end, or the one who waits for it no longer.
    settled: Arc<AtomicBool>,
}

struct Answer {
    outcomes: Vec<Outcome>,
    /// Nothing more is evaluated.
    stopped: bool,
}

impl Run {
    pub fn of(engine: Engine, rules: Arc<[(String, Weight)]>, limit: Duration) -> Self {
        let evaluation = Evaluation { engine, rules, limit };
        Self {
            limit,
            state: State::Ready(Box::new(evaluation)),
        }
    }

    /// Every rule over one document. After the time is up nothing is evaluated any more, and the answer says so once.
    pub fn evaluate(&mut self, document: &serde_json::Value) -> Vec<Outcome> {
        let going = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Ready(evaluation) => evaluation.begin(),
            State::Going(going) => Ok(going),
            State::Stopped => return Vec::new(),
        };
        match going.and_then(|going| going.ask(document, self.limit).map(|answer| (going, answer))) {
            Ok((going, answer)) => {
                if !answer.stopped {
                    self.state = State::Going(going);
                }
                answer.outcomes
            }
            Err(why) => vec![Outcome::Failed(why)],
        }
    }
}

impl Going {
    fn ask(&self, document: &serde_json::Value, limit: Duration) -> Result<Answer, String> {
        let failed = || "the evaluator failed".to_owned();
        self.documents.send(document.clone()).map_err(|_| failed())?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.answers.recv_timeout(left + GRACE).map_err(|why| match why {
            RecvTimeoutError::Disconnected => failed(),
            RecvTimeoutError::Timeout => {
                if !self.settled.swap(true, Ordering::SeqCst) {
                    LEFT_BEHIND.fetch_add(1, Ordering::SeqCst);
                }
                too_long(limit)
            }
        })
    }
}

fn too_long(limit: Duration) -> String {
    format!("longer than the limit of {} ms", limit.as_millis())
}

/// What the thread owns.
struct Evaluation {
    engine: Engine,
    rules: Arc<[(String, Weight)]>,
    limit: Duration,
}

impl Evaluation {
    fn begin(mut self) -> Result<Going, String> {
        if LEFT_BEHIND.load(Ordering::SeqCst) >= LEFT_BEHIND_MAX {
            return Err("evaluations that took too long still run, so none is begun".to_owned());
        }
        let (documents, asked) = channel::<serde_json::Value>();
        let (answer, answers) = channel();
        let deadline = Instant::now() + self.limit;
        let settled = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&settled);
        let work = move || {
            for document in asked {
                let told = answer.send(self.evaluate(document, deadline));
                if told.is_err() {
                    break;
                }
            }
            if ends.swap(true, Ordering::SeqCst) {
                LEFT_BEHIND.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let spawned = thread::Builder::new().name("rego".to_owned()).spawn(work);
        spawned.map_err(|error| format!("no thread for the evaluator: {error}"))?;
        Ok(Going {
            documents,
            answers,
            deadline,
            settled,
        })
    }

    fn evaluate(&mut self, document: serde_json::Value, deadline: Instant) -> Answer {
        let mut outcomes = Vec::new();
        self.engine.set_input(Value::from(document));
        for (rule, weight) in self.rules.iter() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let limit = self.limit.as_millis();
                outcomes.push(Outcome::Failed(format!("the time limit of {limit} ms is used up before {rule}")));
                return Answer { outcomes, stopped: true };
            }
            self.engine.set_execution_timer_config(ExecutionTimerConfig {
                limit: left,
                check_interval: NonZeroU32::MIN.saturating_add(63),
            });
            let engine = &mut self.engine;
            // A defect of the evaluator must not take the service with it.
            let (why, stopped) = match catch_unwind(AssertUnwindSafe(|| engine.eval_rule(rule.clone()))) {
                Ok(Ok(value)) => {
                    read(&value, rule, *weight, &mut outcomes);
                    continue;
                }
                Ok(Err(_)) if Instant::now() >= deadline => (too_long(self.limit), true),
                Ok(Err(error)) => (last_line(&error.to_string()), false),
                Err(_) => ("the evaluator failed".to_owned(), true),
            };
            outcomes.push(Outcome::Failed(format!("{rule}: {why}")));
            if stopped {
                return Answer { outcomes, stopped };
            }
        }
        Answer { outcomes, stopped: false }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::guard::rego::PACKAGE;

    /// A policy whose function does not come back before it is let go.
    fn stuck(held: &Arc<Mutex<()>>) -> Evaluation {
        let mut engine = Engine::new();
        let held = Arc::clone(held);
        let wait = move |_| {
            let _held = held.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Value::Bool(true))
        };
        engine.add_extension("wait".to_owned(), 0, Box::new(wait)).expect("a new name");
        let policy = format!("package {PACKAGE}\n\nimport rego.v1\n\ndeny contains \"x\" if wait()\n");
        engine.add_policy("p.rego".to_owned(), policy).expect("a policy");
        let rules = Arc::from([(format!("data.{PACKAGE}.deny"), Weight::Deny)]);
        let limit = Duration::from_secs(600);
        Evaluation { engine, rules, limit }
    }

    /// Its time is up before it has begun: whoever asks waits as briefly as may be.
    fn impatient(evaluation: Evaluation) -> Run {
        let limit = evaluation.limit;
        let mut going = evaluation.begin().expect("begins");
        going.deadline = Instant::now();
        Run {
            limit,
            state: State::Going(going),
        }
    }

    fn said(run: &mut Run) -> Vec<String> {
        let words = |outcome| match outcome {
            Outcome::Said { message, .. } => message,
            Outcome::Failed(why) => why,
        };
        run.evaluate(&serde_json::json!({})).into_iter().map(words).collect()
    }

    #[test]
    fn nobody_waits_for_a_function_that_does_not_come_back_and_few_are_left_behind() {
        let held = Arc::new(Mutex::new(()));
        let guard = held.lock().expect("free");
        for _ in 0..LEFT_BEHIND_MAX {
            let mut run = impatient(stuck(&held));
            assert_eq!(said(&mut run), ["longer than the limit of 600000 ms"]);
            assert_eq!(said(&mut run), [""; 0], "it was said once");
        }
        let refused = stuck(&held).begin().map(|_| ()).expect_err("too many are left behind");
        assert_eq!(refused, "evaluations that took too long still run, so none is begun");
        drop(guard);
        while LEFT_BEHIND.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        assert!(stuck(&held).begin().is_ok(), "they have ended");
    }
}
