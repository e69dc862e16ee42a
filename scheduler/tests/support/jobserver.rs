//! Scripts as jobs of a token pool.

use std::process::Command;

use kiln_scheduler::{Loan, TokenPool};

/// Makes a command that runs a bash script with a jobserver; `$R` and `$W` are the numbers of its ends.
pub(crate) fn script(tokens: &TokenPool, text: &str) -> (Command, Loan) {
    let env = TokenPool::make_env();
    let flags = env[0].1.to_str().unwrap();
    let (read, write) = flags
        .split_once("--jobserver-auth=")
        .unwrap()
        .1
        .split_once(',')
        .unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", text]).env("R", read).env("W", write);
    let loan = tokens.lend(&mut command).unwrap();
    (command, loan)
}
