//! `countersign config`: documents checked, shown and described.
//!
//! In: files. Out: every finding on standard error, or what was asked for on standard output. Nothing is started.

use crate::failure::Failure;
use crate::output::print;
use ::config::policy::Policy;
use ::config::sidecar::Sidecar;
use ::config::{Document, Findings, Kind, text_of};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with documents.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Say everything that is wrong with documents; for a sidecar also with its policy.
    #[command(
        after_help = "Exit codes: 0 valid, 1 there are findings, 2 a file cannot be read.\n\
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
    /// Documents
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    kind: KindOption,
}

/// Arguments of `config show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A document
    #[arg(value_name = "FILE")]
    file: PathBuf,
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

impl Check {
    /// Every file is read before the first line is printed: one run tells everything.
    fn run(self) -> Result<ExitCode, Failure> {
        let mut found = Vec::new();
        let mut valid = String::new();
        for file in &self.files {
            match self.check(file) {
                Ok(kind) => valid.push_str(&format!(
                    "{}: a valid {} document\n",
                    file.display(),
                    kind.name()
                )),
                Err(Failure::No(findings)) => found.push(findings),
                Err(unfit) => return Err(unfit),
            }
        }
        print(&valid)?;
        if found.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::No(found.join("\n")))
        }
    }

    fn check(&self, file: &Path) -> Result<Kind, Failure> {
        let (kind, text) = self.kind.read(file)?;
        match Document::parse(kind, &text, file) {
            Ok(Document::Sidecar(sidecar)) => check_policy(&sidecar)?,
            Ok(_) => {}
            Err(findings) if kind == Kind::Sidecar => {
                return Err(with_policy_of(&text, file, findings));
            }
            Err(findings) => return Err(no(&findings)),
        }
        Ok(kind)
    }
}

/// A sidecar's policy, its listeners included.
fn check_policy(sidecar: &Sidecar) -> Result<(), Failure> {
    match &sidecar.policy {
        Some(file) => {
            let text = text_of(file).map_err(|finding| Failure::Unfit(finding.to_string()))?;
            Policy::parse_for(sidecar, &text, file)
                .map(drop)
                .map_err(|findings| no(&findings))
        }
        None => Ok(()),
    }
}

/// The findings of a sidecar's document, and of the policy that it names in spite of them.
fn with_policy_of(text: &str, file: &Path, findings: Findings) -> Failure {
    let policy = Sidecar::policy_file(text, file).and_then(|policy| Policy::load(&policy).err());
    match policy {
        Some(more) => Failure::No(format!("{findings}\n{more}")),
        None => no(&findings),
    }
}

fn no(findings: &Findings) -> Failure {
    Failure::No(findings.to_string())
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let (kind, text) = self.kind.read(&self.file)?;
        let document =
            Document::parse(kind, &text, &self.file).map_err(|findings| no(&findings))?;
        print_all(&match self.output {
            Format::Yaml => document.effective_yaml(),
            Format::Json => format!("{:#}\n", document.effective()),
        })
    }
}

impl KindOption {
    /// The text of a file, and what it configures.
    fn read(&self, file: &Path) -> Result<(Kind, String), Failure> {
        let text = text_of(file).map_err(|finding| Failure::Unfit(finding.to_string()))?;
        let kind = self.kind.map(Kind::from).or_else(|| Kind::guess(&text)).ok_or_else(|| {
            Failure::Unfit(format!(
                "{}: is it of a sidecar, a CA or a policy: the keys of its first level do not tell; add --kind",
                file.display()
            ))
        })?;
        Ok((kind, text))
    }
}
