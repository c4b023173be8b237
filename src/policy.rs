//! `countersign policy`: what in a policy is wrong, and what a policy says to one request and why.
//!
//! The verdict, its label and its sentence are those of the `policy` crate, which the sidecar asks as well: what is explained
//! here is what is decided there.

use crate::failure::Failure;
use crate::output::{self, Output, OutputOption};
use ::config::policy::Policy as Document;
use ::config::sidecar::{Paths, Sidecar};
use ::config::{HostPattern, SpiffeId};
use ::policy::explain::{self, Answer, What};
use ::policy::{Rules, Warning};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Check and question a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Read a policy and report what cannot mean what it says.
    Check(Check),
    /// Say what a policy answers to one request, and why.
    Explain(Explain),
}

/// Read a policy and report what is wrong with it, and which clauses and rules change no answer.
///
/// Exit code 0 if there is nothing to report, 1 if clauses or rules change no answer, 2 if the policy cannot be read.
#[derive(Debug, Args)]
#[command(after_help = "Example: countersign policy check policy.yaml --config sidecar.yaml")]
pub(crate) struct Check {
    /// The policy
    #[arg(value_name = "FILE", required_unless_present = "policy")]
    file: Option<PathBuf>,
    /// The policy, named as for `policy explain`
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    policy: Option<PathBuf>,
    /// The sidecar whose inbound listeners it is for: their names and protocols are then taken into account
    #[arg(long, value_name = "SIDECAR")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputOption,
}

/// Say what a policy answers to one request, and why, in the words of the sidecar.
///
/// Exit code 0 if it is allowed, 1 if not, 2 if the question or the policy cannot be read.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: countersign policy explain --policy policy.yaml --from spiffe://shop.example/storefront --method GET --path /orders/7"
)]
pub(crate) struct Explain {
    /// The policy
    #[arg(long, value_name = "FILE", required_unless_present = "decision")]
    policy: Option<PathBuf>,
    /// Who asks
    #[arg(long, value_name = "ID", value_parser = SpiffeId::parse, required_unless_present = "decision")]
    from: Option<SpiffeId>,
    /// The method, case as on the wire
    #[arg(long, value_name = "METHOD", required_unless_present_any = ["tcp", "decision"])]
    method: Option<String>,
    /// The path as on the wire; `*` for a target without one
    #[arg(long, value_name = "PATH", required_unless_present_any = ["tcp", "decision"])]
    path: Option<String>,
    /// The host, with or without a port; by default none, which matches only clauses that name no hosts
    #[arg(long, value_name = "HOST", value_parser = HostPattern::parse)]
    host: Option<HostPattern>,
    /// The inbound listener; by default none, which matches only clauses that name no listeners
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// What the listener does with paths that two readers could read differently, as its `paths` says
    #[arg(long, value_name = "strict|canonical|raw", value_parser = paths, default_value = "strict")]
    paths: Paths,
    /// Ask about a TCP connection instead of a request
    #[arg(long, conflicts_with_all = ["method", "path", "host", "paths"])]
    tcp: bool,
    /// Explain a decision of a running sidecar by its id (not supported yet)
    #[arg(long, value_name = "ID")]
    decision: Option<String>,
    #[command(flatten)]
    output: OutputOption,
}

impl Policy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Policy::Check(verb) => verb.run(),
            Policy::Explain(verb) => verb.run(),
        }
    }
}

impl Check {
    fn run(self) -> Result<ExitCode, Failure> {
        let unfit = |findings: ::config::Findings| Failure::Unfit(findings.to_string());
        // One of the two is always there, and never both.
        let file = self.file.or(self.policy).unwrap_or_default();
        let (rules, warnings) = match &self.config {
            None => {
                let policy = Document::load(&file).map_err(unfit)?;
                (policy.rules.len(), ::policy::check(&policy))
            }
            Some(sidecar) => {
                let sidecar = Sidecar::load(sidecar).map_err(unfit)?;
                let policy = Document::load_for(&sidecar, &file).map_err(unfit)?;
                (
                    policy.rules.len(),
                    ::policy::check_for(&policy, &sidecar.inbound),
                )
            }
        };
        let file = file.display().to_string();
        output::print(&match self.output.output {
            Output::Table => reported(&file, rules, &warnings),
            Output::Json => format!(
                "{:#}\n",
                warnings
                    .iter()
                    .map(|warning| warning_as_json(&file, warning))
                    .collect::<Value>()
            ),
        })?;
        Ok(if warnings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

fn reported(file: &str, rules: usize, warnings: &[Warning]) -> String {
    if warnings.is_empty() {
        let rules = if rules == 1 {
            "1 rule".to_owned()
        } else {
            format!("{rules} rules")
        };
        return format!("{file}: {rules}, nothing to report\n");
    }
    warnings
        .iter()
        .map(|warning| format!("{file}:{}: {warning}\n", warning.line))
        .collect()
}

fn warning_as_json(file: &str, warning: &Warning) -> Value {
    let others: Value = warning
        .others
        .iter()
        .map(|other| json!({"rule": &*other.rule, "line": other.line}))
        .collect();
    json!({
        "file": file,
        "line": warning.line,
        "rule": &*warning.rule,
        "reason": warning.flaw.reason(),
        "why": warning.to_string(),
        "others": others,
    })
}

/// A question as other verbs ask it, about a request to an http listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) policy: &'a Path,
    pub(crate) from: &'a str,
    pub(crate) listener: &'a str,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
}

/// What `policy explain` prints in answer to a question.
pub(crate) fn explain(question: &Question<'_>) -> Result<String, Failure> {
    let unfit = |error: ::config::NameError| Failure::Unfit(error.to_string());
    let policy =
        Document::load(question.policy).map_err(|findings| Failure::Unfit(findings.to_string()))?;
    let from = SpiffeId::parse(question.from).map_err(unfit)?;
    let asked = Explain {
        policy: None,
        from: None,
        method: Some(question.method.to_owned()),
        path: Some(question.path.to_owned()),
        host: Some(HostPattern::parse(question.host).map_err(unfit)?),
        listener: Some(question.listener.to_owned()),
        paths: Paths::Strict,
        tcp: false,
        decision: None,
        output: OutputOption {
            output: Output::Table,
        },
    };
    Ok(format!("{}\n", asked.answer(&policy, &from)))
}

impl Explain {
    fn run(self) -> Result<ExitCode, Failure> {
        let (policy, from) = match (&self.policy, &self.from, &self.decision) {
            (Some(policy), Some(from), None) => (policy, from),
            _ => {
                let what = "countersign policy explain --decision: not supported yet";
                return Err(Failure::Unfit(format!(
                    "{what}; give --policy, --from, --method and --path instead"
                )));
            }
        };
        let policy =
            Document::load(policy).map_err(|findings| Failure::Unfit(findings.to_string()))?;
        let answer = self.answer(&policy, from);
        output::print(&match self.output.output {
            Output::Table => format!("{answer}\n"),
            Output::Json => format!("{:#}\n", as_json(&answer)),
        })?;
        Ok(if matches!(answer, Answer::Allowed(_)) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }

    /// What the sidecar would answer.
    fn answer(&self, policy: &Document, from: &SpiffeId) -> Answer {
        let what = match &self.method {
            None => What::Tcp,
            Some(method) => What::Http {
                method,
                path: self.path.as_deref().unwrap_or("*"),
                host: self.host.as_ref(),
            },
        };
        let listener = self.listener.as_deref().unwrap_or_default();
        explain::Question {
            from,
            listener,
            paths: self.paths,
            what,
        }
        .answer(&Arc::new(Rules::compile(policy)))
    }
}

/// As the configuration writes them.
fn paths(word: &str) -> Result<Paths, String> {
    Paths::read(word).ok_or_else(|| "write `strict`, `canonical` or `raw`".to_owned())
}

fn as_json(answer: &Answer) -> Value {
    match answer {
        Answer::Allowed(permit) => json!({"verdict": "allowed", "rule": &**permit.rule()}),
        Answer::Denied(denied, status) => json!({
            "verdict": "denied",
            "status": status,
            "reason": denied.reason.label(),
            "rule": denied.rule.as_deref(),
            "line": denied.line,
            "nearest": denied.nearest.as_ref().map(|nearest| json!({
                "rule": &*nearest.rule,
                "line": nearest.line,
                "failed": nearest.failed,
                "wanted": nearest.wanted,
                "asked": &*nearest.asked,
            })),
            "why": denied.to_string(),
        }),
        Answer::Ambiguous(ambiguous) => json!({
            "verdict": "denied",
            "status": explain::AMBIGUOUS,
            "reason": ambiguous.reason(),
            "why": ambiguous.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use ::config::policy::{Clause, Rule};
    use ::config::{IdPattern, PathPattern};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Policy,
    }

    fn document() -> Document {
        let clause = |line, method: &str, path: &str| Clause {
            line,
            methods: Some(vec![method.into()]),
            paths: Some(vec![PathPattern::parse(path).unwrap()]),
            ..Clause::default()
        };
        let hosts = Some(vec![HostPattern::parse("orders:8080").unwrap()]);
        let allow = vec![
            clause(5, "GET", "/orders/{id}"),
            Clause {
                line: 6,
                hosts,
                ..clause(6, "PUT", "/**")
            },
        ];
        let rule = Rule {
            name: "storefront reads orders".into(),
            line: 3,
            from: vec![IdPattern::parse("spiffe://shop.example/storefront").unwrap()],
            allow: [
                allow,
                vec![Clause {
                    line: 7,
                    listeners: Some(vec!["db".into()]),
                    ..Clause::default()
                }],
            ]
            .concat(),
            deny: vec![clause(9, "GET", "/orders/secret")],
        };
        Document { rules: vec![rule] }
    }

    fn check(args: &str, want: &str) {
        let line = format!("countersign explain --policy p {args}");
        let Policy::Explain(explain) = Line::try_parse_from(line.split(' ')).unwrap().verb else {
            panic!("{line}")
        };
        let answer = explain.answer(&document(), explain.from.as_ref().unwrap());
        assert_eq!(answer.to_string(), want, "{args}");
    }

    #[test]
    fn an_answer_is_the_sidecars_in_its_words() {
        let me = "--from spiffe://shop.example/storefront";
        let near = "denied (403, no_rule_allows): no rule allows it; nearest is \"storefront reads orders\"";
        let yes = "allowed: rule \"storefront reads orders\" allows it";
        for (args, want) in [
            ("--method GET --path /orders/7", yes.to_owned()),
            ("--method GET --path /orders/7?q=/../x", yes.to_owned()),
            ("--method PUT --path /x --host orders:8080", yes.to_owned()),
            ("--method DELETE --path * --listener db", yes.to_owned()),
            ("--method POST --path /orders/7", format!("{near} (line 5), whose methods [GET] do not include POST")),
            ("--method PUT --path /x", format!("{near} (line 5), whose methods [GET] do not include PUT")),
            ("--method GET --path *", format!("{near} (line 5), whose paths [/orders/{{id}}] do not include a target without a path")),
            ("--method GET --path /orders/secret", "denied (403, denied_by_rule): rule \"storefront reads orders\" (line 9) denies it".to_owned()),
            ("--tcp", "denied (denied_by_rule): rule \"storefront reads orders\" (line 9) denies it".to_owned()),
            (
                "--method GET --path /a/../b",
                "denied (400, path_dot_segment): the path is ambiguous: it has a `.` or `..` segment; send the path it leads to".to_owned(),
            ),
        ] {
            check(&format!("{me} {args}"), &want);
        }
        check(
            "--from spiffe://shop.example/other --method GET --path /orders/7",
            "denied (403, no_rule_for_caller): no rule names the caller; nearest is \"storefront reads orders\" (line 5), \
             whose from [spiffe://shop.example/storefront] does not include spiffe://shop.example/other",
        );
    }

    #[test]
    fn programs_get_the_parts_of_an_answer() {
        let line = "countersign explain --policy p --from spiffe://shop.example/storefront --method PUT --path /x";
        let Policy::Explain(explain) = Line::try_parse_from(line.split(' ')).unwrap().verb else {
            panic!("{line}")
        };
        let seen = as_json(&explain.answer(&document(), explain.from.as_ref().unwrap()));
        let nearest = json!({"rule": "storefront reads orders", "line": 5, "failed": "methods", "wanted": "[GET]", "asked": "PUT"});
        assert_eq!(
            (&seen["verdict"], &seen["reason"], &seen["nearest"]),
            (&json!("denied"), &json!("no_rule_allows"), &nearest)
        );
    }

    #[test]
    fn a_question_that_lacks_something_is_not_asked() {
        for args in [
            "--policy p --method GET --path /",
            "--policy p --from spiffe://a/b --method GET",
            "--policy p --from spiffe://a/b --path /",
            "--policy p --from spiffe://a/b --tcp --method GET",
            "--policy p --from spiffe://A/b --tcp",
            "--policy p --from spiffe://a/b --method GET --path / --host a/b",
        ] {
            let line = format!("countersign explain {args}");
            assert_eq!(
                Line::try_parse_from(line.split(' '))
                    .map_err(|mistake| mistake.exit_code())
                    .map(|_| ()),
                Err(2),
                "{args}"
            );
        }
    }

    #[test]
    fn a_decision_id_is_not_supported_yet() {
        let Policy::Explain(explain) =
            Line::try_parse_from(["countersign", "explain", "--decision", "x"])
                .unwrap()
                .verb
        else {
            panic!()
        };
        let want = "countersign policy explain --decision: not supported yet; give --policy, --from, --method and --path instead";
        assert_eq!(explain.run(), Err(Failure::Unfit(want.into())));
    }

    #[test]
    fn a_warning_stands_at_its_line() {
        let mut policy = document();
        let again = Clause {
            line: 8,
            ..policy.rules[0].allow[0].clone()
        };
        policy.rules[0].allow.push(again);
        let why = "rule \"storefront reads orders\" repeats a clause: \"storefront reads orders\" (line 5) says the same; remove one";
        let warnings = ::policy::check(&policy);
        assert_eq!(
            reported("p.yaml", 1, &warnings),
            format!("p.yaml:8: {why}\n")
        );
        assert_eq!(
            reported("p.yaml", 1, &[]),
            "p.yaml: 1 rule, nothing to report\n"
        );
        let want = json!({
            "file": "p.yaml", "line": 8, "rule": "storefront reads orders", "reason": "repeated", "why": why,
            "others": [{"rule": "storefront reads orders", "line": 5}],
        });
        assert_eq!(warning_as_json("p.yaml", &warnings[0]), want);
    }
}
