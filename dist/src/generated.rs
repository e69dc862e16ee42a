//! What is made from kiln's command line: its manual pages and completions.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

/// A manual page: its file name, as `kiln-build.1`, and its text.
pub(crate) type Page = (String, Vec<u8>);

/// The manual pages of kiln and of each of its commands.
pub(crate) fn manual() -> std::io::Result<Vec<Page>> {
    let mut root = kiln::cli::Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add_pages(&root, &mut pages)?;
    Ok(pages)
}

fn add_pages(command: &Command, pages: &mut Vec<Page>) -> std::io::Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .manual("kiln")
        .render(&mut text)?;
    pages.push((format!("{name}.1"), text));
    for subcommand in command.get_subcommands() {
        add_pages(subcommand, pages)?;
    }
    Ok(())
}

/// The completion of kiln for a shell.
pub(crate) fn completion(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut kiln::cli::Cli::command(), "kiln", &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let names: Vec<String> = manual()
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        for name in ["kiln.1", "kiln-build.1", "kiln-cache.1", "kiln-cache-gc.1"] {
            assert!(names.iter().any(|page| page == name), "{name}: {names:?}");
        }
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(completion(shell)).unwrap();
            assert!(text.contains("explain"), "{shell}");
        }
    }
}
