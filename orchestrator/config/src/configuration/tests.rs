//! How layers come together, and what is wrong across them.

use std::{fs, time::Duration};

use super::*;
use crate::{Color, Credential, Size};

/// Two files and an environment.
struct Ground {
    directory: tempfile::TempDir,
    environment: Environment,
    flags: Flags,
}

impl Ground {
    fn new(system: &str, user: &str, variables: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("system.toml"), system).unwrap();
        fs::write(directory.path().join("user.toml"), user).unwrap();
        let mut environment = Environment::of(variables);
        environment.user = rustix::process::geteuid().as_raw();
        Self {
            directory,
            environment,
            flags: Flags::default(),
        }
    }

    fn read(&self) -> Configuration {
        let path = |name: &str| self.directory.path().join(name);
        let files = [
            (Layer::System, path("system.toml")),
            (Layer::User, path("user.toml")),
        ];
        Configuration::read(&files, &self.environment, &self.flags)
    }

    /// Where a setting comes from and what it takes the place of, without the directory.
    fn origins(&self, key: &str) -> Vec<String> {
        let configuration = self.read();
        let mut entries = configuration.entries.iter();
        let entry = entries.find(|entry| entry.setting.key == key).unwrap();
        let prefix = format!("{}/", self.directory.path().display());
        let all = entry.origin.iter().chain(&entry.overrides);
        all.map(|origin| origin.to_string().replace(&prefix, ""))
            .collect()
    }

    fn problems(&self) -> Vec<String> {
        let prefix = format!("{}/", self.directory.path().display());
        let problems = self.read().problems;
        let texts = problems.iter().map(ToString::to_string);
        texts.map(|text| text.replace(&prefix, "")).collect()
    }
}

#[test]
fn a_later_layer_wins() {
    let text = |jobs: usize| format!("[cache]\ndir = 'store'\n[build]\njobs = {jobs}\n");
    let mut ground = Ground::new(&text(3), "", &[]);
    let jobs = |ground: &Ground| ground.read().settings().build.jobs_or_cores().get();
    assert_eq!(jobs(&ground), 3);
    assert_eq!(ground.origins("build.jobs"), ["system.toml:4"]);
    ground = Ground::new(&text(3), &text(4), &[]);
    assert_eq!(jobs(&ground), 4);
    ground = Ground::new(&text(3), &text(4), &[("KILN_JOBS", "5")]);
    assert_eq!(jobs(&ground), 5);
    ground.flags.jobs = std::num::NonZeroUsize::new(6);
    assert_eq!(jobs(&ground), 6);
    assert_eq!(
        ground.origins("build.jobs"),
        ["--jobs", "KILN_JOBS", "user.toml:4", "system.toml:4"]
    );
    let directory = ground.read().settings().cache.directory.clone();
    assert_eq!(directory, Some(ground.directory.path().join("store")));
}

#[test]
fn what_nobody_says_has_a_default() {
    let ground = Ground::new("", "", &[("HOME", "/home/me")]);
    let configuration = ground.read();
    let settings = configuration.settings();
    assert_eq!(settings.build.jobs, None);
    assert_eq!(settings.build.jobs_or_cores().get(), 2);
    assert_eq!(settings.build.conf_timeout, Duration::from_secs(30));
    assert_eq!(settings.build.timeout, None);
    assert_eq!(settings.build.color, Color::Auto);
    assert!(settings.remote_cache.is_none() && settings.remote_exec.is_none());
    assert!(settings.signing.trust.is_empty() && settings.signing.key.is_none());
    assert_eq!(ground.origins("build.jobs"), ["default"]);
    assert_eq!(ground.origins("cache.dir"), ["default"]);
    assert_eq!(ground.origins("cache.max_size"), [""; 0]);
    let keys = configuration.entries.iter().map(|entry| entry.setting.key);
    let catalog = crate::SETTINGS.iter().map(|setting| setting.key);
    assert!(keys.eq(catalog), "every setting is read, in its order");
}

#[test]
fn a_flag_takes_back_what_a_file_says() {
    let ground = Ground::new(
        "[build]\ntimeout = 60\n[remote_cache]\nurl = 'grpc://cache'\n",
        "",
        &[("KILN_TIMEOUT", "0"), ("KILN_REMOTE_CACHE", "none")],
    );
    assert_eq!(ground.read().settings().build.timeout, None);
    assert!(ground.read().settings().remote_cache.is_none());
    assert_eq!(
        ground.origins("remote_cache.url"),
        ["KILN_REMOTE_CACHE", "system.toml:4"]
    );
}

#[test]
fn a_list_or_table_takes_the_place_of_the_whole() {
    let ground = Ground::new(
        "[signing]\ntrust = ['a.pub', 'b.pub']\n\
         [remote_exec]\nurl = 'grpc://exec'\nplatform = { os = 'linux', arch = 'x86' }\n",
        "[signing]\ntrust = ['c.pub']\n",
        &[("KILN_REMOTE_PLATFORM", "os=debian")],
    );
    let settings = ground.read().into_settings().unwrap();
    assert_eq!(settings.signing.trust.len(), 1);
    let trusted = &settings.signing.trust[0].path;
    assert_eq!(*trusted, ground.directory.path().join("c.pub"));
    let platform = &settings.remote_exec.unwrap().platform.0;
    assert_eq!(platform.len(), 1);
    assert_eq!(platform["os"], "debian");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_in_order() {
    let ground = Ground::new(
        "[build]\ntimeout = 'long'\njobs = 0\n[cache]\nmax_size = '10X'\n",
        "[signing]\ntrust = [\n  { key = 'a.pub', untli = 2026-01-01 },\n]\n",
        &[("KILN_JOBS", "four"), ("KILN_CACHE_MAX_SIZE", "1G")],
    );
    assert_eq!(
        ground.problems(),
        [
            "system.toml:2:11: build.timeout expects a whole number of seconds, \
             or 0 for no limit, not \"long\"",
            "system.toml:3:8: build.jobs expects a whole number above 0, not 0",
            "system.toml:5:12: cache.max_size expects a size, for instance \"10G\" \
             (units K, M, G and T), not \"10X\"",
            "user.toml:3:20: signing.trust has \"untli\" in a key, which has `key`, \
             `not_before` and `not_after`",
            "KILN_JOBS: build.jobs expects a whole number above 0, not \"four\"",
        ]
    );
    assert_eq!(ground.read().settings().cache.max_size, Some(1 << 30));
}

#[test]
fn who_must_go_on_does_so_without_servers() {
    let ground = Ground::new(
        "[build]\njobs = 3\ntimeot = 9\n[remote_cache]\nurl = 'grpc://cache'\n\
         [signing]\ntrust = ['a.pub']\n",
        "",
        &[],
    );
    assert!(ground.read().into_settings().is_err());
    let (settings, problems) = ground.read().into_cautious_settings();
    assert_eq!(problems.len(), 1);
    assert_eq!(settings.build.jobs_or_cores().get(), 3);
    assert!(settings.remote_cache.is_none() && settings.signing.trust.is_empty());
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let ground = Ground::new("[remote]\ncert = 'c.pem'\n", "", &[]);
    assert_eq!(
        ground.problems(),
        ["system.toml:2:8: remote.cert is of no use without remote.key"]
    );
    let ground = Ground::new(
        "[remote]\ncert = 'c.pem'\n",
        "",
        &[("KILN_REMOTE_KEY", "/k.pem")],
    );
    let identity = ground.read().into_settings().unwrap().remote.identity;
    assert_eq!(identity.unwrap().key, Path::new("/k.pem"));
}

#[test]
fn of_several_credentials_the_latest_layer_has_the_say() {
    let ground = Ground::new(
        "[remote]\ntoken_file = 'token'\n",
        "[remote]\ncredential_helper = 'helper'\n",
        &[],
    );
    let configuration = ground.read();
    let credential = &configuration.settings().remote.credential;
    assert!(matches!(credential, Some(Credential::Helper(_))));
    let mut entries = configuration.entries.iter();
    let file = entries.find(|entry| entry.setting.key == "remote.token_file");
    assert_eq!(file.unwrap().gives_way_to, Some("remote.credential_helper"));
    let ground = Ground::new(
        "[remote]\ntoken_file = 'token'\ncredential_helper = 'helper'\n",
        "",
        &[],
    );
    assert_eq!(
        ground.problems(),
        ["system.toml:3:21: remote.credential_helper and remote.token_file exclude each other"]
    );
}

#[test]
fn no_secret_goes_out_in_the_clear() {
    let told = |url: &str, remote: &str| {
        let text = format!("[remote_cache]\nurl = '{url}'\n[remote]\n{remote}\n");
        Ground::new(&text, "", &[]).problems()
    };
    assert_eq!(told("grpcs://cache", "token_file = 't'"), [""; 0]);
    assert_eq!(told("grpc://[::1]:80", "token_file = 't'"), [""; 0]);
    assert_eq!(told("grpc://cache", ""), [""; 0]);
    assert_eq!(
        told("grpc://cache", "token_file = 't'"),
        ["system.toml:2:7: remote.token_file would be sent to grpc://cache:80 unencrypted"]
    );
    let headers = told("grpc://cache", "headers = { x-key = 's3cret' }");
    assert!(headers[0].contains("remote.headers would be sent"));
}

#[test]
fn secrets_are_in_no_entry_and_no_problem() {
    let ground = Ground::new(
        "[remote]\nheaders = { x-key = 's3cret' }\n",
        "[remote]\nheaders = 's3cret'\ntoken = 's3cret'\n",
        &[("KILN_REMOTE_TOKEN", "s3cret")],
    );
    let configuration = ground.read();
    assert_eq!(configuration.problems.len(), 2, "{:?}", ground.problems());
    assert!(!format!("{configuration:?}").contains("s3cret"));
    let mut entries = configuration.entries.iter();
    let token = entries.find(|entry| entry.setting.key == "remote.token");
    assert!(token.unwrap().value.is_none());
    assert_eq!(ground.origins("remote.token"), ["KILN_REMOTE_TOKEN"]);
}

#[test]
fn a_file_that_others_may_write_to_sets_only_what_is_harmless() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new(
        "",
        "[build]\njobs = 3\n[signing]\ntrust = ['mine.pub']\n",
        &[],
    );
    let path = ground.directory.path().join("user.toml");
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    let problems = ground.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("user.toml:4:9: signing.trust is not taken from this file: "),
        "{problems:?}"
    );
    let settings = ground.read().settings().clone();
    assert!(settings.signing.trust.is_empty());
    assert_eq!(settings.build.jobs_or_cores().get(), 3);
}

#[test]
fn what_is_said_of_the_cache() {
    let ground = Ground::new("[cache]\nmax_size = '10G'\n", "", &[("KILN_CACHE", "/c")]);
    let mut ground = ground;
    assert_eq!(ground.read().settings().cache.max_size, Some(10 << 30));
    assert_eq!(ground.origins("cache.dir"), ["KILN_CACHE"]);
    ground.flags.max_size = Some(Size(7));
    assert_eq!(ground.read().settings().cache.max_size, Some(7));
}
