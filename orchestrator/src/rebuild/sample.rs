//! Which records are built anew: a share of them or a number, chosen by chance.

use std::str::FromStr;

use kiln_build::job::doubt_of;
use kiln_cache::{ActionKind, ActionRecord, Store, StoreError};

/// How many of the jobs' records are meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sample {
    /// This many in a hundred, and at least one.
    Percent(f64),
    /// This many.
    Count(usize),
}

impl FromStr for Sample {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(percent) = text.strip_suffix('%') else {
            return text
                .parse()
                .map(Self::Count)
                .map_err(|_| "not a share such as 5%, and no number");
        };
        match percent.trim_end().parse() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
            _ => Err("not a share between 0% and 100%"),
        }
    }
}

impl Sample {
    fn of(self, all: usize) -> usize {
        match self {
            Self::Percent(percent) => {
                let share = (all as f64 * percent / 100.0).round() as usize;
                let least = usize::from(percent > 0.0);
                share.max(least).min(all)
            }
            Self::Count(count) => count.min(all),
        }
    }

    /// Chooses among the outcomes of jobs that anybody may be given, by kernel and then by package.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub(super) fn choose(self, store: &Store) -> Result<Vec<ActionRecord>, StoreError> {
        let mut records = Vec::new();
        for record in store.records()? {
            let record = record?;
            if record.kind == ActionKind::Job && doubt_of(&record).is_none() {
                records.push(record);
            }
        }
        fastrand::shuffle(&mut records);
        records.truncate(self.of(records.len()));
        records.sort_by(|a, b| {
            let name = |record: &ActionRecord| {
                let subject = record.subject.clone();
                (subject.target, subject.name, record.key)
            };
            name(a).cmp(&name(b))
        });
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_and_never_none() {
        let share = |text: &str, all| text.parse::<Sample>().map(|sample| sample.of(all));
        assert_eq!(share("5%", 200), Ok(10));
        assert_eq!(share("5%", 3), Ok(1));
        assert_eq!(share("0.5 %", 1000), Ok(5));
        assert_eq!(share("0%", 1000), Ok(0));
        assert_eq!(share("100%", 0), Ok(0));
        assert_eq!(share("3", 2), Ok(2));
        for wrong in ["", "%", "101%", "-1%", "NaN%", "half", "1.5"] {
            assert!(share(wrong, 1).is_err(), "{wrong}");
        }
    }
}
