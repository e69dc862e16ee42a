//! Whether and when a call that failed is made again.

use std::time::Duration;

use super::{Call, Failure, Remedy, Session};
use crate::error::RemoteError;

/// Before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The attempts of one call.
pub(crate) struct Tries<'s> {
    session: &'s Session,
    call: Call,
    made: u32,
    renewed: bool,
}

impl<'s> Tries<'s> {
    pub(crate) fn new(session: &'s Session, call: Call) -> Self {
        Self {
            session,
            call,
            made: 0,
            renewed: false,
        }
    }

    /// The last attempt got somewhere: what follows is not more of the same failure.
    pub(crate) fn progressed(&mut self) {
        self.made = 0;
    }

    /// Waits until the call may be made again.
    ///
    /// # Errors
    ///
    /// When it must not be.
    pub(crate) async fn after(&mut self, failure: Failure) -> Result<(), RemoteError> {
        let Failure { error, remedy, .. } = failure;
        self.made += 1;
        match remedy {
            Remedy::Again if self.made < self.session.breaker.budget().attempts => {
                let pause = pause(self.made);
                let slept = tokio::time::sleep(pause);
                self.session.breaker.wait(self.call.name, slept).await?;
            }
            Remedy::Renew { generation }
                if !self.renewed && self.session.credentials_refused(generation).await =>
            {
                self.renewed = true;
            }
            _ => return Err(self.session.conclude(self.call, error)),
        }
        self.session.counts.retries.add(1);
        Ok(())
    }
}

/// Doubled each time, and between half and all of that, so that clients do not come back in step.
fn pause(made: u32) -> Duration {
    let whole = FIRST_PAUSE * 2u32.pow((made - 1).min(16));
    whole
        .min(LONGEST_PAUSE)
        .mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        for (made, longest) in [(1, 100), (2, 200), (4, 800), (9, 5000), (u32::MAX, 5000)] {
            let longest = Duration::from_millis(longest);
            for _ in 0..100 {
                let pause = pause(made);
                assert!(
                    pause >= longest / 2 && pause <= longest,
                    "{made}: {pause:?}"
                );
            }
        }
    }
}
