//! The one time that is in all that is published, and how formats spell it.

/// A time in seconds since 1970 (UTC), as SOURCE_DATE_EPOCH has it: what outputs say about
/// when they were made. RPM holds no more than these 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceDate(pub u32);

const DAY: u32 = 86_400;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [(&str, u32); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

impl SourceDate {
    /// As tar and ar hold it.
    pub(crate) fn seconds(self) -> u64 {
        u64::from(self.0)
    }

    /// `2026-11-23T19:15:42Z` (RFC 3339).
    pub(crate) fn rfc3339(self) -> String {
        let (year, month, day) = self.calendar();
        let [hours, minutes, seconds] = self.clock();
        format!(
            "{year:04}-{:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z",
            month + 1
        )
    }

    /// `Mon, 23 Nov 2026 19:15:42 +0000` (RFC 5322), as deb-changelog(5) wants it.
    pub(crate) fn rfc5322(self) -> String {
        let (year, month, day) = self.calendar();
        let [hours, minutes, seconds] = self.clock();
        let weekday = WEEKDAYS[(self.0 / DAY % 7) as usize];
        let month = MONTHS[month].0;
        format!("{weekday}, {day:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02} +0000")
    }

    fn clock(self) -> [u32; 3] {
        let seconds = self.0 % DAY;
        [seconds / 3600, seconds / 60 % 60, seconds % 60]
    }

    /// Year, month from 0, day from 1.
    fn calendar(self) -> (u32, usize, u32) {
        let (mut year, mut left) = (1970, self.0 / DAY);
        loop {
            let days = if is_leap(year) { 366 } else { 365 };
            if left < days {
                break;
            }
            left -= days;
            year += 1;
        }
        for (month, (_, days)) in MONTHS.iter().enumerate() {
            let days = days + u32::from(month == 1 && is_leap(year));
            if left < days {
                return (year, month, left + 1);
            }
            left -= days;
        }
        unreachable!("a day of the year is in one of its months")
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -R -d @N` prints them.
        for (seconds, long, short) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z"),
            (
                951_827_696,
                "Tue, 29 Feb 2000 12:34:56 +0000",
                "2000-02-29T12:34:56Z",
            ),
            (
                1_795_461_342,
                "Mon, 23 Nov 2026 19:15:42 +0000",
                "2026-11-23T19:15:42Z",
            ),
            (
                u32::MAX,
                "Sun, 07 Feb 2106 06:28:15 +0000",
                "2106-02-07T06:28:15Z",
            ),
        ] {
            assert_eq!(SourceDate(seconds).rfc5322(), long);
            assert_eq!(SourceDate(seconds).rfc3339(), short);
        }
    }
}
