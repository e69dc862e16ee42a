//! The report: sections of text, a table and the bars they are held to, as Markdown.

use std::{
    fmt::{self, Display, Write as _},
    fs,
    path::Path,
};

use crate::Result;

/// What a figure has to reach.
pub(crate) struct Bar {
    /// What is measured.
    pub(crate) what: String,
    /// What it has to be.
    pub(crate) wanted: String,
    /// What it is.
    pub(crate) measured: String,
    /// Whether that is enough.
    pub(crate) reached: bool,
}

impl Bar {
    fn verdict(&self) -> &'static str {
        if self.reached { "pass" } else { "miss" }
    }
}

/// One comparison.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What was done, and what to know about it.
    pub(crate) text: String,
    /// The first row is the head.
    pub(crate) table: Vec<Vec<String>>,
    pub(crate) bars: Vec<Bar>,
}

impl Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n\n{}\n", self.title, self.text)?;
        table(f, &self.table)?;
        for bar in &self.bars {
            writeln!(
                f,
                "\n{}: {} (bar: {}): **{}**",
                bar.what,
                bar.measured,
                bar.wanted,
                bar.verdict()
            )?;
        }
        Ok(())
    }
}

/// All of it.
pub(crate) struct Document {
    /// Machine, versions, command: a name and a value each.
    about: Vec<(String, String)>,
    pub(crate) sections: Vec<Section>,
}

impl Document {
    pub(crate) fn new(about: Vec<(String, String)>) -> Self {
        Self {
            about,
            sections: Vec::new(),
        }
    }

    pub(crate) fn write(&self, to: &Path) -> Result<()> {
        let mut text = String::from("# Benchmarks\n\nWritten by `make bench`.\n\n");
        let mut rows = vec![vec![String::new(), String::new()]];
        rows.extend(self.about.iter().map(|(a, b)| vec![a.clone(), b.clone()]));
        table(&mut text, &rows)?;
        let mut rows = vec![["what", "bar", "measured", ""].map(str::to_owned).to_vec()];
        for bar in self.sections.iter().flat_map(|section| &section.bars) {
            rows.push(vec![
                bar.what.clone(),
                bar.wanted.clone(),
                bar.measured.clone(),
                bar.verdict().to_owned(),
            ]);
        }
        text.push_str("\n## Bars\n\n");
        table(&mut text, &rows)?;
        for section in &self.sections {
            write!(text, "\n{section}")?;
        }
        fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()).into())
    }
}

/// Writes rows as a table whose columns line up.
fn table(out: &mut impl fmt::Write, rows: &[Vec<String>]) -> fmt::Result {
    let Some(head) = rows.first() else {
        return Ok(());
    };
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "| {cell:width$} ")?;
        }
        out.write_str("|\n")?;
        if index == 0 {
            for width in &widths {
                write!(out, "|{}", "-".repeat(width + 2))?;
            }
            out.write_str("|\n")?;
        }
    }
    Ok(())
}

/// A row of a table.
#[macro_export]
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { vec![$($cell.to_string()),+] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_lines_up() {
        let section = Section {
            title: "One".to_owned(),
            text: "Text.".to_owned(),
            table: vec![row!["a", "bb"], row!["ccc", 1]],
            bars: vec![Bar {
                what: "ratio".to_owned(),
                wanted: "at most 2".to_owned(),
                measured: "3".to_owned(),
                reached: false,
            }],
        };
        assert_eq!(
            section.to_string(),
            "## One\n\nText.\n\n| a   | bb |\n|-----|----|\n| ccc | 1  |\n\nratio: 3 (bar: at most 2): **miss**\n"
        );
    }
}
