//! The phases that a job names, as far as they are taken: what comes of them is kept in memory and in the report until the
//! run has ended.

/// More phases than any build has, or anybody looks at.
const MOST: usize = 200;

/// How many characters of a name are taken.
const LONGEST: usize = 80;

/// What follows them.
const REST: &str = "more phases than are told apart";

/// What a job has named so far.
#[derive(Debug, Default)]
pub(super) struct PhaseNames {
    heard: usize,
}

impl PhaseNames {
    /// The phase that a line begins, if it is not one of too many.
    pub(super) fn hear(&mut self, line: &[u8]) -> Option<String> {
        self.heard = self.heard.saturating_add(1).min(MOST + 2);
        if self.heard > MOST {
            return (self.heard == MOST + 1).then(|| REST.to_owned());
        }
        let line = String::from_utf8_lossy(line);
        Some(line.trim().chars().take(LONGEST).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_job_has_an_end() {
        let mut names = PhaseNames::default();
        assert_eq!(names.hear(b" make \n").unwrap(), "make");
        assert_eq!(names.hear(&[b'x'; 4096]).unwrap().len(), LONGEST);
        let line = [0xff; 4096];
        let more: Vec<String> = (0..1_000_000).filter_map(|_| names.hear(&line)).collect();
        assert_eq!(more.len(), MOST - 1);
        assert_eq!(more.last().unwrap(), REST);
    }
}
