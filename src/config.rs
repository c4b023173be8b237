//! `countersign config`: documents checked, shown and described.
//!
//! In: files. Out: every finding on standard error, or what was asked for on standard output. Nothing is started.

use crate::failure::Failure;
use crate::output::print;
use ::config::policy::Policy;
use ::config::sidecar::Sidecar;
use ::config::{Document, Finding, Findings, Kind, text_of};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with documents.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Say everything that is wrong with documents; for a sidecar also with its policy.
    #[command(
        after_help = "Exit codes: 0 valid, 1 findings, 2 a file cannot be read.\n\
                            Example: countersign config check sidecar.yaml policy.yaml"
    )]
    Check(Check),
    /// Print what holds, with every default filled in.
    #[command(after_help = "Example: countersign config show -o json sidecar.yaml")]
    Show(Show),
    /// Print the JSON Schema of a document (draft 2020-12).
    #[command(after_help = "Example: countersign config schema sidecar > sidecar.schema.json")]
    Schema(Described),
    /// Print the commented reference of a document, itself a valid document.
    #[command(after_help = "Example: countersign config reference policy > policy.yaml")]
    Reference(Described),
}

/// Arguments of `config check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Documents; the first word may say what they configure: sidecar, ca or policy
    #[arg(required = true, value_name = "[KIND] FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    kind: KindOption,
}

/// Arguments of `config show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A document; a word before it may say what it configures: sidecar, ca or policy
    #[arg(required = true, num_args = 1..=2, value_name = "[KIND] FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    kind: KindOption,
    /// How to print
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: Format,
}

/// Arguments of `config schema` and `config reference`.
#[derive(Debug, clap::Args)]
pub(crate) struct Described {
    /// What the document configures
    #[arg(value_enum)]
    kind: KindName,
}

/// The option `--kind`.
#[derive(Debug, clap::Args)]
struct KindOption {
    /// What the documents configure; without it the keys of their first level tell
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<KindName>,
}

/// [`Kind`] as it is typed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum KindName {
    /// A sidecar.
    Sidecar,
    /// A CA.
    Ca,
    /// Who may call what.
    Policy,
}

/// How `config show` prints.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// As it would be written.
    #[default]
    Yaml,
    /// For programs.
    Json,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Kind {
        match name {
            KindName::Sidecar => Kind::Sidecar,
            KindName::Ca => Kind::Ca,
            KindName::Policy => Kind::Policy,
        }
    }
}

impl Config {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Config::Check(check) => check.run(),
            Config::Show(show) => show.run(),
            Config::Schema(described) => print_all(&Kind::from(described.kind).schema()),
            Config::Reference(described) => print_all(&Kind::from(described.kind).reference()),
        }
    }
}

fn print_all(text: &str) -> Result<ExitCode, Failure> {
    print(text).map(|()| ExitCode::SUCCESS)
}

/// What was found in several files. No finding stands twice: a policy may be named by a sidecar and on the command line.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    /// A file could not be read.
    unreadable: bool,
}

impl Found {
    fn add(&mut self, more: impl IntoIterator<Item = Finding>) {
        for finding in more {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    fn text_of(&mut self, file: &Path) -> Option<String> {
        text_of(file)
            .map_err(|finding| {
                self.unreadable = true;
                self.add([finding]);
            })
            .ok()
    }

    fn verdict(self) -> Result<ExitCode, Failure> {
        let text = Findings(self.findings).to_string();
        match (self.unreadable, text.is_empty()) {
            (true, _) => Err(Failure::Unfit(text)),
            (false, false) => Err(Failure::No(text)),
            (false, true) => Ok(ExitCode::SUCCESS),
        }
    }
}

impl Check {
    /// Every file is read before the verdict: one run tells everything.
    fn run(mut self) -> Result<ExitCode, Failure> {
        let mut found = Found::default();
        for file in self.kind.take_from(&mut self.files) {
            let Some(text) = found.text_of(file) else {
                continue;
            };
            let kind = self.kind.of(&text, file)?;
            let before = found.findings.len();
            match Document::parse(kind, &text, file) {
                Ok(Document::Sidecar(sidecar)) => check_policy(&mut found, &sidecar),
                Ok(Document::Ca(_) | Document::Policy(_)) => {}
                Err(findings) => {
                    found.add(findings.0);
                    check_policy_named_in(&mut found, kind, &text, file);
                }
            }
            if found.findings.len() == before {
                print(&format!(
                    "{}: a valid {} document\n",
                    file.display(),
                    kind.name()
                ))?;
            }
        }
        found.verdict()
    }
}

/// A valid sidecar's policy, with the listeners that it names.
fn check_policy(found: &mut Found, sidecar: &Sidecar) {
    let Some(file) = &sidecar.policy else { return };
    let Some(text) = found.text_of(file) else {
        return;
    };
    if let Err(findings) = Policy::parse_for(sidecar, &text, file) {
        found.add(findings.0);
    }
}

/// The policy of a sidecar whose own document has findings: it must not wait for them.
fn check_policy_named_in(found: &mut Found, kind: Kind, text: &str, file: &Path) {
    let named = (kind == Kind::Sidecar)
        .then(|| Sidecar::policy_file(text, file))
        .flatten();
    let Some(file) = named else { return };
    let Some(text) = found.text_of(&file) else {
        return;
    };
    if let Err(findings) = Policy::parse(&text, &file) {
        found.add(findings.0);
    }
}

impl Show {
    fn run(mut self) -> Result<ExitCode, Failure> {
        let [file] = self.kind.take_from(&mut self.files) else {
            let what = "one document is shown at a time";
            return Err(Failure::Unfit(format!("countersign config show: {what}")));
        };
        let text = text_of(file).map_err(|finding| Failure::Unfit(finding.to_string()))?;
        let kind = self.kind.of(&text, file)?;
        let document = Document::parse(kind, &text, file)
            .map_err(|findings| Failure::No(findings.to_string()))?;
        print_all(&match self.output {
            Format::Yaml => document.effective_yaml(),
            Format::Json => format!("{:#}\n", document.effective()),
        })
    }
}

impl KindOption {
    /// Takes the kind from before the files, where it may stand as in `config schema sidecar`; a file of that name is a file.
    fn take_from<'f>(&mut self, files: &'f mut [PathBuf]) -> &'f [PathBuf] {
        let named = match files {
            [first, _, ..] if !first.is_file() => {
                let name = first.to_str().unwrap_or_default();
                <KindName as clap::ValueEnum>::from_str(name, false).ok()
            }
            _ => None,
        };
        self.kind = self.kind.or(named);
        if named.is_some() { &files[1..] } else { files }
    }

    /// What a document configures: as asked, or by its keys.
    fn of(&self, text: &str, file: &Path) -> Result<Kind, Failure> {
        let guessed = || {
            Kind::guess(text).ok_or_else(|| {
                let what = "a sidecar, a CA or a policy: the keys of its first level do not tell; add --kind";
                Failure::Unfit(format!("{}: {what}", file.display()))
            })
        };
        self.kind.map_or_else(guessed, |kind| Ok(kind.into()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SIDECAR: &str = "identity: { trustDomain: a, files: { certificate: c, key: k, bundle: b } }\npolicy: { file: policy.yaml }\n\
                           inbound: [{ name: web, listen: \"0.0.0.0:1\", app: \"127.0.0.1:2\", protocol: http }]\n";
    const POLICY: &str =
        "rules: [{ name: r, from: [\"spiffe://a/b\"], allow: [{ listeners: [web] }] }]\n";

    /// Checks files written into one folder; their findings without the folder.
    fn check(files: &[(&str, &str)], named: &[&str]) -> Result<(), Failure> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let check = Check {
            files: named.iter().map(|name| folder.path().join(name)).collect(),
            kind: KindOption { kind: None },
        };
        let start = format!("{}/", folder.path().display());
        check.run().map(drop).map_err(|failure| match failure {
            Failure::No(text) => Failure::No(text.replace(&start, "")),
            Failure::Unfit(text) => Failure::Unfit(text.replace(&start, "")),
            other => other,
        })
    }

    #[test]
    fn the_kind_may_stand_before_the_files_unless_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let taken = |words: &[&Path]| {
            let mut kind = KindOption { kind: None };
            let mut files: Vec<PathBuf> = words.iter().map(|word| word.to_path_buf()).collect();
            let left = kind.take_from(&mut files).to_vec();
            (kind.kind.map(|kind| Kind::from(kind).name()), left)
        };
        let policy = Path::new("policy");
        assert_eq!(
            taken(&[policy, &file]),
            (Some("policy"), vec![file.clone()])
        );
        assert_eq!(
            taken(&[&file, policy]),
            (None, vec![file.clone(), policy.into()])
        );
        assert_eq!(taken(&[policy]), (None, vec![policy.into()]));
    }

    #[test]
    fn a_valid_sidecar_with_a_valid_policy_is_fit() {
        assert_eq!(
            check(
                &[("s.yaml", SIDECAR), ("policy.yaml", POLICY)],
                &["s.yaml", "policy.yaml"]
            ),
            Ok(())
        );
    }

    #[test]
    fn the_findings_of_a_sidecar_and_its_policy_come_in_one_run_and_none_twice() {
        let files = [
            ("s.yaml", &*format!("{SIDECAR}limts: {{}}\n")),
            ("policy.yaml", "default: allow\nrules: []\n"),
        ];
        let expected = "s.yaml:4:1: unknown key `limts`; did you mean `limits`?\n\
                        policy.yaml:1:10: default: `allow` is no default here; write `deny`, and a rule with `allow: [{}]` for whom you trust";
        assert_eq!(
            check(&files, &["s.yaml", "policy.yaml"]),
            Err(Failure::No(expected.into()))
        );
    }

    #[test]
    fn a_policy_for_a_listener_that_is_not_there_is_found_through_the_sidecar() {
        let files = [
            ("s.yaml", SIDECAR),
            ("policy.yaml", &*POLICY.replace("[web]", "[wbe]")),
        ];
        let expected = "policy.yaml:1:66: rules[0].allow[0].listeners[0]: there is no inbound listener `wbe`; did you mean `web`?";
        assert_eq!(
            check(&files, &["s.yaml"]),
            Err(Failure::No(expected.into()))
        );
        assert_eq!(check(&files, &["policy.yaml"]), Ok(()));
    }

    #[test]
    fn a_file_that_cannot_be_read_makes_the_run_unfit_and_hides_no_finding() {
        let absent = "cannot be read: No such file or directory (os error 2); check the path and its permissions";
        assert_eq!(
            check(&[("s.yaml", SIDECAR)], &["s.yaml"]),
            Err(Failure::Unfit(format!("policy.yaml: {absent}")))
        );
        let expected = format!(
            "x.yaml: {absent}\nca.yaml:1:1: `dir` is missing; add `dir: /var/lib/countersign-ca`"
        );
        assert_eq!(
            check(&[("ca.yaml", "trustDomain: a\n")], &["x.yaml", "ca.yaml"]),
            Err(Failure::Unfit(expected))
        );
    }

    #[test]
    fn a_document_of_no_kind_asks_for_its_kind() {
        let expected = "x.yaml: a sidecar, a CA or a policy: the keys of its first level do not tell; add --kind";
        assert_eq!(
            check(&[("x.yaml", "a: 1\n")], &["x.yaml"]),
            Err(Failure::Unfit(expected.into()))
        );
    }
}
