//! Token buckets: how long to wait so that a limit is kept. The arithmetic takes the time as an argument.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Several limits at once; a call needs room in all of them.
pub(crate) struct Pace {
    buckets: Mutex<Vec<Bucket>>,
}

struct Bucket {
    capacity: f64,
    per_second: f64,
    tokens: f64,
    seen: Option<Instant>,
}

impl Pace {
    /// One bucket per (capacity, amount, period): `capacity` calls at once, then `amount` per `period`. Zeros are read as one.
    pub(crate) fn new(limits: &[(u32, u32, Duration)]) -> Self {
        let bucket = |&(capacity, amount, period): &(u32, u32, Duration)| Bucket {
            capacity: f64::from(capacity.max(1)),
            per_second: f64::from(amount.max(1)) / period.as_secs_f64().max(0.001),
            tokens: f64::from(capacity.max(1)),
            seen: None,
        };
        Self {
            buckets: Mutex::new(limits.iter().map(bucket).collect()),
        }
    }

    /// Waits for room and takes it.
    pub(crate) async fn take(&self) {
        while let Err(wait) = self.try_take(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes room, or says how long until there is some.
    pub(crate) fn try_take(&self, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait = 0.0f64;
        for bucket in buckets.iter_mut() {
            let elapsed = bucket.seen.map_or(0.0, |seen| now.saturating_duration_since(seen).as_secs_f64());
            bucket.tokens = (bucket.tokens + elapsed * bucket.per_second).min(bucket.capacity);
            bucket.seen = Some(now);
            // A thousandth of slack: sums of small steps do not reach 1 exactly.
            if bucket.tokens < 0.999 {
                wait = wait.max((1.0 - bucket.tokens) / bucket.per_second);
            }
        }
        if wait > 0.0 {
            return Err(Duration::from_secs_f64(wait.max(0.001)));
        }
        for bucket in buckets.iter_mut() {
            bucket.tokens -= 1.0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_then_the_slowest_limit_counts() {
        let pace = Pace::new(&[(3, 1, Duration::from_secs(1)), (5, 5, Duration::from_secs(60))]);
        let start = Instant::now();
        let at = |seconds: u64| pace.try_take(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(Duration::from_secs(1)), "the burst of 3 is used up: one per second");
        assert_eq!([at(1), at(2)], [Ok(()); 2]);
        let wait = at(3).expect_err("5 per minute are used up");
        assert!(
            wait > Duration::from_secs(8) && wait <= Duration::from_secs(12),
            "one per 12 s: {wait:?}"
        );
        assert_eq!(at(15), Ok(()));
    }
}
