//! `dkms status`: what is in the tree, and whether the kernels have what was built.

mod look;

use std::collections::HashMap;

use kiln_kernel::package::PackageId;
use look::{Answers, Finding, Looker, Remark};
use rayon::prelude::*;
use serde::Serialize;

use super::{
    Session,
    confs::{is_strict, say},
    console::Console,
    tree::{Row, Selection, State},
};

/// One row for programs.
#[derive(Serialize)]
struct JsonRow<'a> {
    module: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<&'a str>,
    state: &'a str,
    remarks: &'a [Remark],
}

impl Session {
    /// Prints the rows that the command asks for.
    pub(crate) fn status(&mut self) {
        let (module, version) = (
            self.arguments.module.clone(),
            self.arguments.module_version.clone(),
        );
        let mut kernels = self.arguments.kernels.clone();
        let mut arches = self.arguments.arches.clone();
        if arches.len() == 1 && kernels.len() > 1 {
            arches.resize(kernels.len(), arches[0].clone());
        }
        if kernels.is_empty() {
            kernels.push(String::new());
        }
        let mut rows = Vec::new();
        for (index, kernel) in kernels.iter().enumerate() {
            rows.extend(self.tree.rows(&Selection {
                module: &module,
                version: &version,
                kernel,
                arch: arches.get(index).map_or("", String::as_str),
            }));
        }
        let mut findings: Vec<Option<Finding>> = {
            let looker = Looker::new(self, HashMap::new());
            let packages: Vec<&[Row]> = rows.chunk_by(|a, b| a.package == b.package).collect();
            packages
                .into_par_iter()
                .flat_map_iter(|rows| looker.look_at_package(rows))
                .collect()
        };
        if findings.iter().any(Option::is_none) {
            let hard = rows.iter().zip(&findings);
            let hard: Vec<&Row> = hard
                .filter_map(|(row, finding)| finding.is_none().then_some(row))
                .collect();
            let answers = self.ask_for(&hard);
            let looker = Looker::new(self, answers);
            for (row, finding) in rows.iter().zip(&mut findings) {
                if finding.is_none() {
                    *finding = looker
                        .look_at_package(std::slice::from_ref(row))
                        .pop()
                        .flatten();
                }
            }
        }
        let findings: Vec<Finding> = findings
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        self.console.hold();
        if self.arguments.json {
            self.status_as_json(&rows, &findings);
        } else {
            for (row, finding) in rows.iter().zip(&findings) {
                self.say_row(row, finding);
            }
        }
        self.console.release();
    }

    /// Evaluates those confs that need bash.
    fn ask_for(&mut self, rows: &[&Row]) -> Answers {
        let layout = self.layout();
        let mut answers = HashMap::new();
        for row in rows {
            let Some(target) = row.target.clone() else {
                continue;
            };
            let package = &row.package;
            let path = self.tree.source(package).join("dkms.conf");
            let facts = match self.ask_bash(Some(package), &target, &path, &layout) {
                Err(_) => Err(Vec::new()),
                Ok((raw, _)) => {
                    let config = self.kernel_config(&target);
                    self.conf_reader()
                        .facts(&raw, Some(package), &target, &path, &config, &layout)
                }
            };
            answers.insert((package.clone(), target), facts);
        }
        answers
    }

    fn status_as_json(&mut self, rows: &[Row], findings: &[Finding]) {
        let rows: Vec<JsonRow<'_>> = rows
            .iter()
            .zip(findings)
            .map(|(row, finding)| JsonRow {
                module: row.package.name.as_str(),
                version: row.package.version.as_str(),
                kernel: row.target.as_ref().map(|target| target.kernel.as_str()),
                arch: row.target.as_ref().map(|target| target.arch.as_str()),
                state: row.state.name(),
                remarks: &finding.remarks,
            })
            .collect();
        let text = serde_json::to_string_pretty(&rows).expect("rows are plain data");
        self.console.line(text);
    }

    fn say_row(&mut self, row: &Row, finding: &Finding) {
        let package = &row.package;
        let state = row.state.name();
        let Some(target) = &row.target else {
            self.console.line(format_args!("{package}: {state}"));
            if row.state == State::Broken {
                self.say_broken(package);
            }
            return;
        };
        let mut line = format!("{package}, {}, {}: {state}", target.kernel, target.arch);
        for directive in &self.arguments.directives {
            // dkms says it in the middle of the line.
            let (name, value) = directive.split_once('=').unwrap_or((directive, directive));
            line.push_str(&format!("DIRECTIVE: {name}=\"{value}\"\n"));
        }
        say_problems(&mut self.console, finding);
        for remark in &finding.remarks {
            line.push_str(remark.words());
        }
        self.console.line(line);
    }

    /// Says that a package is broken, as `status` does.
    pub(crate) fn say_broken(&mut self, package: &PackageId) {
        self.console.error(&[
            &format!("{package}: Missing the module source directory or the symbolic link pointing to it."),
            "Manual intervention is required!",
        ]);
    }
}

fn say_problems(console: &mut Console, finding: &Finding) {
    if let Some(path) = &finding.missing {
        console.error(&[
            "Could not locate dkms.conf file.",
            &format!("File: {} does not exist.", path.display()),
        ]);
    }
    for problem in finding
        .problems
        .iter()
        .filter(|problem| !is_strict(problem))
    {
        say(console, problem);
    }
}
