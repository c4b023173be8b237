//! The house stands as it is drawn: which crate may see which, and in which order a crate's modules depend on each other.
//!
//! In: the members' manifests as cargo reads them, and the text of every source file. Out: one line per broken rule.
//!
//! 1. Between crates arrows point one way, as in [`MAY_SEE`]; a member without a place there breaks the rule.
//! 2. In a crate a file names only modules declared above its own in `lib.rs` (`main.rs` for the command), so that the
//!    order of declarations is at once the reading order and the dependency order. A folder's `mod.rs` is the map of its folder.
//!
//! How far the second check sees: it reads tokens, not types. It follows every path that begins with `crate`, `self` or
//! `super`, in `use` and elsewhere, and resolves names that a map re-exports to the module they come from. It does not see
//! names that reach a file through a macro or as a method of somebody else's trait. Items that a map defines itself are the
//! vocabulary of its folder and free to all of it. Code under `#[cfg(test)]` may look anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn arrows_between_crates_point_one_way() {
    let broken = broken_arrows(&members());

    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn files_name_only_modules_declared_above_their_own() {
    let mut broken = Vec::new();
    let mut files_seen = 0;
    for Member { name, folder, .. } in members() {
        let files = sources(&folder.join("src"));
        files_seen += files.len();
        broken.extend(
            broken_order(&files)
                .into_iter()
                .map(|line| format!("{name}: {line}")),
        );
    }

    assert_eq!(broken, Vec::<String>::new());
    assert!(
        files_seen > 20,
        "the check read only {files_seen} files: it looks in the wrong place"
    );
}

/// Where a text stands in what is shipped: `member: path below src`, a line each.
fn naming(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for Member { name, folder, .. } in members() {
        let shipped = !["bench", "mint", "shop"]
            .iter()
            .any(|not| name.ends_with(not));
        for (path, source) in sources(&folder.join("src")) {
            let lines = source.lines().filter(|line| line.contains(text));
            let here = lines.map(|_| format!("{name}: {}", path.display()));
            found.extend(here.filter(|_| shipped));
        }
    }
    found
}

/// The one configuration that believes whoever is there is made and used in one file, whose `Unknown` can ask for statements and
/// for nothing else; and no other configuration could be made so, for rustls' builders are named in one module only.
#[test]
fn whom_nobody_proved_is_asked_for_statements_and_for_nothing_else() {
    assert_eq!(
        naming("Unproven::new("),
        ["countersign-identity: source/ca/dial.rs"]
    );
    assert_eq!(
        naming("unproven.config()"),
        ["countersign-identity: source/ca/dial.rs"]
    );
    assert_eq!(
        naming("Unknown(calls)"),
        ["countersign-identity: source/ca/dial.rs"]
    );
    assert_eq!(
        naming("dangerous()"),
        ["countersign-identity: tls/mod.rs"; 2]
    );
    assert_eq!(
        naming("ServerCertVerified::assertion()"),
        [
            "countersign-identity: tls/unproven.rs",
            "countersign-identity: tls/verifier.rs"
        ]
    );

    let dial = text_of("countersign-identity", "source/ca/dial.rs");
    let (_, unknown) = dial.split_once("impl Unknown {").unwrap();
    let (unknown, _) = unknown.split_once("\n}\n").unwrap();
    let asked: Vec<&str> = unknown
        .lines()
        .filter(|line| line.contains(" fn "))
        .collect();
    assert_eq!(asked, ["    pub(super) async fn statements("]);
}

fn text_of(member: &str, path: &str) -> String {
    let member = members()
        .into_iter()
        .find(|one| one.name == member)
        .unwrap();
    sources(&member.folder.join("src"))
        .remove(Path::new(path))
        .unwrap()
}

// ---------------------------------------------------------------------------------------------------------------------
// Arrows between crates

/// Which members a member may see, by package name without `countersign-`; `""` is the command itself.
const MAY_SEE: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("telemetry", &[]),
    ("policy", &["config"]),
    ("api", &[]),
    ("identity", &["config", "api"]),
    ("daemon", &["config", "telemetry"]),
    (
        "ca",
        &["config", "telemetry", "identity", "policy", "daemon", "api"],
    ),
    (
        "proxy",
        &["config", "telemetry", "identity", "policy", "daemon"],
    ),
    ("shop", &[]),
    ("mint", &["config"]),
    (
        "",
        &[
            "config",
            "telemetry",
            "identity",
            "policy",
            "daemon",
            "api",
            "ca",
            "proxy",
            "shop",
        ],
    ),
    (
        "bench",
        &[
            "config",
            "telemetry",
            "identity",
            "policy",
            "daemon",
            "api",
            "ca",
            "proxy",
            "shop",
            "mint",
        ],
    ),
];

/// What the tests of any member may use besides.
const TESTS_MAY_SEE: &[&str] = &["mint"];

/// A package of the workspace.
struct Member {
    name: String,
    folder: PathBuf,
    sees: Vec<Sees>,
}

/// One arrow: to another package, a member or not.
struct Sees {
    name: String,
    for_tests: bool,
}

fn broken_arrows(members: &[Member]) -> Vec<String> {
    let short = |name: &str| {
        name.strip_prefix("countersign")
            .map(|rest| rest.trim_start_matches('-').to_owned())
    };
    let mut broken = Vec::new();
    for Member {
        name: from, sees, ..
    } in members
    {
        let Some((_, may_see)) =
            short(from).and_then(|from| MAY_SEE.iter().find(|(name, _)| *name == from))
        else {
            broken.push(format!(
                "{from} has no place in the house: add it to MAY_SEE"
            ));
            continue;
        };
        for Sees {
            name: to,
            for_tests,
        } in sees
        {
            let Some(to_short) = short(to) else { continue };
            let in_tests = *for_tests && TESTS_MAY_SEE.contains(&to_short.as_str());
            if !in_tests && !may_see.contains(&to_short.as_str()) {
                broken.push(format!("{from} -> {to}: this arrow is not drawn"));
            }
        }
    }
    broken
}

/// The members as cargo reads their manifests: renamed, inherited and target-specific dependencies included.
fn members() -> Vec<Member> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON");
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .expect("cargo metadata keeps its schema")
            .to_owned()
    };
    let sees = |dependency: &serde_json::Value| Sees {
        name: text(&dependency["name"]),
        for_tests: dependency["kind"] == "dev",
    };
    let packages = metadata["packages"]
        .as_array()
        .expect("cargo metadata lists packages");
    let member = |package: &serde_json::Value| Member {
        name: text(&package["name"]),
        folder: Path::new(&text(&package["manifest_path"]))
            .parent()
            .expect("a manifest lies in a folder")
            .to_owned(),
        sees: package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .map(sees)
            .collect(),
    };
    packages.iter().map(member).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// Order within a crate

/// Source files by their path below `src`.
type Files = BTreeMap<PathBuf, String>;

fn sources(src: &Path) -> Files {
    fn collect(folder: &Path, below: &Path, files: &mut Files) {
        for entry in
            std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, below, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(below).unwrap().to_owned(), text);
            }
        }
    }
    let mut files = Files::new();
    collect(src, src, &mut files);
    files
}

/// A module as far as the order is concerned.
#[derive(Default)]
struct Module {
    /// Child modules with files of their own, in the order of their declaration.
    children: Vec<String>,
    /// Names that the module re-exports, and the child each comes from.
    reexports: BTreeMap<String, String>,
    /// Every path that the module's text names: the line, and the segments from the crate's root.
    named: Vec<Named>,
}

struct Named {
    line: usize,
    /// The module in whose text it stands: the file's own, or one written inline in it.
    within: Vec<String>,
    path: Vec<String>,
}

fn broken_order(files: &Files) -> Vec<String> {
    let root = ["lib.rs", "main.rs"]
        .map(PathBuf::from)
        .into_iter()
        .find(|root| files.contains_key(root));
    let root = root.expect("a crate has lib.rs or main.rs");
    let mut modules = BTreeMap::new();
    read_module(files, &root, Vec::new(), &mut modules);

    let mut broken = Vec::new();
    for (file, module) in modules.values() {
        for named in &module.named {
            if let Some(why) = why_broken(named, &modules) {
                let path = named.path.join("::");
                broken.push(format!(
                    "{}:{}: names crate::{path}, {why}",
                    file.display(),
                    named.line
                ));
            }
        }
    }
    broken
}

type Modules = BTreeMap<Vec<String>, (PathBuf, Module)>;

fn read_module(files: &Files, file: &Path, path: Vec<String>, modules: &mut Modules) {
    let module = parse(&files[file], &path);
    let folder = match file.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "main.rs" | "mod.rs") => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    for child in &module.children {
        let candidates = [
            folder.join(format!("{child}.rs")),
            folder.join(child).join("mod.rs"),
        ];
        let child_file = candidates
            .iter()
            .find(|candidate| files.contains_key(*candidate));
        let child_file =
            child_file.unwrap_or_else(|| panic!("{}: no file for mod {child}", file.display()));
        read_module(
            files,
            child_file,
            [path.as_slice(), std::slice::from_ref(child)].concat(),
            modules,
        );
    }
    modules.insert(path, (file.to_owned(), module));
}

/// Where the named path leaves the modules that enclose it, it enters a neighbour: that must be declared above.
fn why_broken(named: &Named, modules: &Modules) -> Option<String> {
    let shared = named
        .within
        .iter()
        .zip(&named.path)
        .take_while(|(a, b)| a == b)
        .count();
    let (Some(own), Some(entered)) = (named.within.get(shared), named.path.get(shared)) else {
        return None; // A map names what it maps; or the path ends at a module that encloses it.
    };
    let (map_file, map) = modules.get(&named.within[..shared])?;
    let place = |name: &String| map.children.iter().position(|child| child == name);
    let own_place = place(own)?;
    if entered == "*" {
        return Some(format!(
            "everything that {} maps: name what is meant",
            map_file.display()
        ));
    }
    let neighbour = if place(entered).is_some() {
        entered
    } else {
        map.reexports.get(entered)?
    };
    (place(neighbour)? > own_place)
        .then(|| format!("declared below {own} in {}", map_file.display()))
}

/// Reads a file's modules, re-exports and paths. Code under `#[cfg(test)]` is left out.
fn parse(text: &str, path: &[String]) -> Module {
    let tokens = without_tests(tokens(text));
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut module = Module::default();
    let mut within = path.to_vec();
    let mut braces: Vec<bool> = Vec::new(); // For each open brace: does it open an inline module?
    let mut at = 0;
    while at < tokens.len() {
        match word(at) {
            "mod" if word(at + 2) == ";" => module.children.push(word(at + 1).to_owned()),
            "mod" if word(at + 2) == "{" => {
                within.push(word(at + 1).to_owned());
                braces.push(true);
                at += 2;
            }
            "{" => braces.push(false),
            "}" if braces.pop() == Some(true) => drop(within.pop()),
            "use" => {
                for (alias, leaf) in use_tree(&tokens, at + 1).0 {
                    if let Some(absolute) = absolute(&leaf, &within) {
                        module.named.push(Named {
                            line: tokens[at].line,
                            within: within.clone(),
                            path: absolute,
                        });
                    }
                    // Only what a map says of its own children is a re-export: `use child::Name` or `use self::child::Name`.
                    let own = leaf.strip_prefix(&["self".to_owned()][..]).unwrap_or(&leaf);
                    if within == path && own.len() > 1 {
                        module.reexports.insert(alias, own[0].clone());
                    }
                }
                while at < tokens.len() && word(at) != ";" {
                    at += 1;
                }
            }
            "crate" | "self" | "super"
                if word(at + 1) == "::" && word(at.wrapping_sub(1)) != "::" =>
            {
                let visibility =
                    word(at.wrapping_sub(1)) == "in" && word(at.wrapping_sub(2)) == "(";
                let (leaves, end) = use_tree(&tokens, at);
                for (_, leaf) in leaves.iter().filter(|_| !visibility) {
                    if let Some(absolute) = absolute(leaf, &within) {
                        module.named.push(Named {
                            line: tokens[at].line,
                            within: within.clone(),
                            path: absolute,
                        });
                    }
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    module
}

/// The segments from the crate's root of a path that begins with `crate`, `self` or `super`; `None` for any other.
fn absolute(path: &[String], within: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => within.to_vec(),
        _ => return None,
    };
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "super" => drop(base.pop()),
            "self" | "crate" => {}
            _ => break,
        }
        rest = others;
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// The leaves of a use tree (or of a plain path) that begins at `at`, each with the name it gets, and where the tree ends.
fn use_tree(tokens: &[Token], at: usize) -> (Vec<(String, Vec<String>)>, usize) {
    fn walk(
        tokens: &[Token],
        mut at: usize,
        prefix: &[String],
        leaves: &mut Vec<(String, Vec<String>)>,
    ) -> usize {
        let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let mut path = prefix.to_vec();
        if word(at) == "::" {
            at += 1;
        }
        loop {
            if word(at) == "{" {
                at += 1;
                while at < tokens.len() && word(at) != "}" {
                    at = walk(tokens, at, &path, leaves);
                    at += usize::from(word(at) == ",");
                }
                return at + 1;
            }
            // `a::{self, b}`: `self` in a group is the path so far.
            if word(at) != "self" || path.is_empty() {
                path.push(word(at).to_owned());
            }
            at += 1;
            // `::` goes on only before a name, a group or a star: `Vec::<u8>` ends the path here.
            let goes_on =
                word(at + 1).starts_with(|c: char| c.is_alphanumeric() || "_{*".contains(c));
            if word(at) != "::" || !goes_on {
                break;
            }
            at += 1;
        }
        let mut alias = path.last().cloned().unwrap_or_default();
        if word(at) == "as" {
            alias = word(at + 1).to_owned();
            at += 2;
        }
        leaves.push((alias, path));
        at
    }
    let mut leaves = Vec::new();
    let end = walk(tokens, at, &[], &mut leaves);
    (leaves, end)
}

/// A name, `::`, or one character of anything else. Comments, strings, characters and lifetimes are gone.
struct Token {
    text: String,
    line: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut line, mut at) = (Vec::new(), 1, 0);
    while at < chars.len() {
        let start = at;
        let next = chars.get(at + 1).copied();
        let name = |c: &char| c.is_alphanumeric() || *c == '_';
        at = match chars[at] {
            '/' if next == Some('/') => find(&chars, at, |rest| rest[0] == '\n'),
            '/' if next == Some('*') => after_block_comment(&chars, at),
            '"' => after_string(&chars, at),
            '\'' if next == Some('\\') => find(&chars, at + 3, |rest| rest[0] == '\'') + 1,
            '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
            '\'' => at + 1 + chars[at + 1..].iter().take_while(|c| name(c)).count(),
            c if name(&c) => at + chars[at..].iter().take_while(|c| name(c)).count(),
            ':' if next == Some(':') => at + 2,
            _ => at + 1,
        };
        let raw = matches!(
            chars[start..at].iter().collect::<String>().as_str(),
            "r" | "br" | "cr"
        );
        if raw && let Some(end) = after_raw_string(&chars, at) {
            at = end;
        } else if !chars[start].is_whitespace()
            && !matches!(chars[start], '"' | '\'')
            && !comment(&chars[start..])
        {
            tokens.push(Token {
                text: chars[start..at].iter().collect(),
                line,
            });
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn comment(rest: &[char]) -> bool {
    matches!(rest, ['/', '/' | '*', ..])
}

/// The first place at or after `from` whose rest is wanted, or the end.
fn find(chars: &[char], from: usize, wanted: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|at| wanted(&chars[*at..]))
        .unwrap_or(chars.len())
}

fn after_block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn after_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `at` stands behind the `r`; `None` if no raw string begins there (a raw name, or a variable called `r`).
fn after_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + hashes) == Some(&'"')).then(|| {
        let closes = |rest: &[char]| {
            rest[0] == '"' && rest[1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
        };
        find(chars, at + hashes + 1, closes) + 1 + hashes
    })
}

/// Leaves out every item under `#[cfg(test)]` (or `cfg(all(test, …))`).
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let end = tokens[at..]
            .iter()
            .position(|token| token.text == "]")
            .map_or(tokens.len(), |n| at + n + 1);
        let words: Vec<&str> = tokens[at..end]
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        let for_tests = words.starts_with(&["#", "[", "cfg", "("])
            && words.contains(&"test")
            && !words.contains(&"not");
        if for_tests {
            at = after_item(&tokens, end);
        } else {
            kept.push(Token {
                text: tokens[at].text.clone(),
                line: tokens[at].line,
            });
            at += 1;
        }
    }
    kept
}

/// Where the item that begins at `at` ends: behind its `;`, or behind the brace that closes its body.
fn after_item(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    let mut in_use = false;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            "use" if depth == 0 => in_use = true,
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 && !in_use {
                    return at;
                }
            }
            ";" if depth == 0 => return at,
            _ => {}
        }
    }
    at
}

// ---------------------------------------------------------------------------------------------------------------------
// The checks themselves can fail

fn check_arrow(from: &str, to: &str, for_tests: bool, broken: &[&str]) {
    let sees = vec![Sees {
        name: to.to_owned(),
        for_tests,
    }];
    let member = Member {
        name: from.to_owned(),
        folder: PathBuf::new(),
        sees,
    };
    assert_eq!(
        broken_arrows(&[member]),
        broken,
        "{from} -> {to}, for tests: {for_tests}"
    );
}

#[test]
fn an_arrow_that_is_not_drawn_is_found() {
    check_arrow("countersign-proxy", "countersign-identity", false, &[]);
    check_arrow("countersign-proxy", "tokio", false, &[]);
    check_arrow("countersign-proxy", "countersign-mint", true, &[]);
    check_arrow("countersign", "countersign-shop", false, &[]);

    for (from, to, for_tests) in [
        ("countersign-proxy", "countersign-ca", false),
        ("countersign-ca", "countersign-proxy", true),
        ("countersign-policy", "countersign-identity", false),
        ("countersign-identity", "countersign-telemetry", false),
        ("countersign-config", "countersign-policy", false),
        ("countersign-proxy", "countersign-mint", false),
        ("countersign-proxy", "countersign", false),
    ] {
        check_arrow(
            from,
            to,
            for_tests,
            &[&format!("{from} -> {to}: this arrow is not drawn")],
        );
    }
    let stranger = "countersign-more has no place in the house: add it to MAY_SEE";
    check_arrow("countersign-more", "countersign-config", false, &[stranger]);
    check_arrow(
        "more",
        "tokio",
        false,
        &["more has no place in the house: add it to MAY_SEE"],
    );
}

/// A crate of three modules and a folder: `first`, `second` (of which `Named` is re-exported), `folder/{inner, outer}`, `last`.
fn check_order(file: &str, text: &str, broken: &[&str]) {
    let map = "pub mod first;\nmod second;\npub mod folder;\nmod last;\npub use second::{Named, deep::Renamed as Other};\n\
               pub use last::Late;\npub struct Vocabulary;\n#[cfg(test)]\nmod tests;\n";
    let mut files: Files = [
        ("lib.rs", map),
        ("first.rs", ""),
        ("second.rs", ""),
        (
            "folder/mod.rs",
            "mod inner;\nmod outer;\npub use outer::Out;\npub struct Own;",
        ),
        ("folder/inner.rs", ""),
        ("folder/outer.rs", ""),
        ("last.rs", ""),
    ]
    .map(|(name, text)| (PathBuf::from(name), text.to_owned()))
    .into();
    let held = files.entry(PathBuf::from(file)).or_default();
    *held = format!("{held}{text}");

    assert_eq!(broken_order(&files), broken, "{file}: {text}");
}

#[test]
fn what_stands_above_may_be_named() {
    for (file, text) in [
        ("second.rs", "use crate::first::X;"),
        ("second.rs", "use super::first;"),
        (
            "second.rs",
            "use crate::{Named, Vocabulary, first::{self, Y}};",
        ),
        (
            "folder/inner.rs",
            "use crate::{Named, Other, first::X}; use super::Own;",
        ),
        (
            "folder/outer.rs",
            "use super::inner::X; use crate::folder::inner::Y; use super::super::first::Z;",
        ),
        (
            "folder/mod.rs",
            "use self::outer::X; use crate::first::Y; fn f() { self::inner::g() }",
        ),
        (
            "last.rs",
            "use crate::folder::Out; mod within { use super::*; use super::super::first; }",
        ),
        (
            "lib.rs",
            "use crate::last::Late as Later; fn f() { crate::last::g() }",
        ),
        ("first.rs", "use last::X; use std::last;"),
    ] {
        check_order(file, text, &[]);
    }
}

#[test]
fn what_stands_below_is_found_wherever_it_is_named() {
    let line = |file: &str, path: &str, own: &str, map: &str| {
        format!("{file}: names crate::{path}, declared below {own} in {map}")
    };
    for (file, text, at, path, own, map) in [
        (
            "first.rs",
            "use crate::second::X;",
            1,
            "second::X",
            "first",
            "lib.rs",
        ),
        (
            "first.rs",
            "\nuse crate::Named;",
            2,
            "Named",
            "first",
            "lib.rs",
        ),
        (
            "first.rs",
            "use crate::Other;",
            1,
            "Other",
            "first",
            "lib.rs",
        ),
        (
            "first.rs",
            "use super::{Vocabulary, folder::Out};",
            1,
            "folder::Out",
            "first",
            "lib.rs",
        ),
        (
            "first.rs",
            "fn f() -> crate::last::T { g() }",
            1,
            "last::T",
            "first",
            "lib.rs",
        ),
        (
            "first.rs",
            "fn f() { let v = crate::last::g::<u8>(); }",
            1,
            "last::g",
            "first",
            "lib.rs",
        ),
        (
            "first.rs",
            "mod within { use super::super::last::X; }",
            1,
            "last::X",
            "first",
            "lib.rs",
        ),
        (
            "folder/inner.rs",
            "use super::outer::X;",
            1,
            "outer::X",
            "inner",
            "folder/mod.rs",
        ),
        (
            "folder/inner.rs",
            "use super::Out;",
            1,
            "Out",
            "inner",
            "folder/mod.rs",
        ),
        (
            "folder/outer.rs",
            "use crate::Late;",
            1,
            "Late",
            "folder",
            "lib.rs",
        ),
    ] {
        let path = if map == "folder/mod.rs" {
            format!("folder::{path}")
        } else {
            path.to_owned()
        };
        check_order(
            file,
            text,
            &[&line(&format!("{file}:{at}"), &path, own, map)],
        );
    }
    check_order(
        "first.rs",
        "use crate::*;",
        &["first.rs:1: names crate::*, everything that lib.rs maps: name what is meant"],
    );
}

#[test]
fn comments_strings_and_tests_name_nothing() {
    for text in [
        "// use crate::last::X;",
        "/* /* */ use crate::last::X; */",
        "const S: &str = \"\\\" use crate::last::X;\";",
        "const S: &str = r#\"\" use crate::last::X;\"#;",
        "const C: [char; 3] = ['\"', '\\'', '{']; fn f<'a>() { \"use crate::last::X;\"; }",
        "#[cfg(test)]\nmod tests { use crate::last::X; fn f() {} }",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;",
        "#[cfg(all(test, unix))]\nuse crate::{last::X, last::Y};",
    ] {
        check_order("first.rs", text, &[]);
        let caught = "first.rs:9: names crate::last::X, declared below first in lib.rs";
        let padding = "\n".repeat(8 - text.matches('\n').count());
        check_order(
            "first.rs",
            &format!("{text}{padding}use crate::last::X;"),
            &[caught],
        );
    }
    check_order(
        "first.rs",
        "#[cfg(not(test))]\nuse crate::last::X;",
        &["first.rs:2: names crate::last::X, declared below first in lib.rs"],
    );
}

/// What `docs/reference/http.md` says holds a line is there: a case of a corpus, or a test.
#[test]
fn what_holds_a_line_of_the_http_page_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/reference/http.md")).unwrap();
    let mut code = String::new();
    for folder in ["tests", "proxy/src", "policy/src"] {
        for (_, text) in sources(&root.join(folder)) {
            code.push_str(&text);
        }
    }
    let (mut missing, mut seen) = (Vec::new(), 0);
    let tables = page
        .split("\n\n")
        .filter(|part| part.contains("| held by |"));
    let rows = tables
        .flat_map(str::lines)
        .filter(|line| line.starts_with("| "));
    for part in rows.flat_map(|row| {
        row.trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap()
            .split(';')
    }) {
        let names: Vec<&str> = part.split('`').skip(1).step_by(2).collect();
        let (held, cases) = match names.split_first() {
            Some((file, names)) if file.ends_with(".txt") => {
                let corpus = root.join("tests/corpus").join(file);
                (std::fs::read_to_string(corpus).unwrap_or_default(), names)
            }
            _ => (code.clone(), &names[..]),
        };
        for name in cases {
            let case = format!("\n{name} | ");
            let test = format!("fn {name}()");
            seen += 1;
            if !held.contains(&case) && !held.contains(&test) {
                missing.push((*name).to_owned());
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(
        seen > 50,
        "the check read only {seen} names: it looks in the wrong place"
    );
}
