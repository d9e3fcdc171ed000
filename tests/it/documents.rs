//! The documents in the repository: every link leads somewhere, every source file that they name is there, every setting
//! and metric is in them, and the first two stay short.
//!
//! Nothing here asks the network: only relative links are followed.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

/// Folders that hold no documents of this repository.
const ELSEWHERE: [&str; 3] = ["target", ".git", "node_modules"];

#[test]
fn every_relative_link_leads_somewhere() {
    let root = root();
    let documents = documents();
    assert!(documents.len() > 15, "only {} documents", documents.len());
    let mut dead = Vec::new();
    let mut checked = 0;
    for (file, document) in &documents {
        for link in document.links.iter().filter(|link| is_relative(link)) {
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                path => plain(&file.parent().expect("a folder").join(path)),
            };
            let there = root.join(&target).exists();
            let known = anchor.is_empty()
                || documents
                    .get(&target)
                    .is_some_and(|target| target.anchors.contains(anchor));
            if !there || !known {
                dead.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(checked > 60, "only {checked} links");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_source_file_that_is_named_is_there() {
    const BASES: [&str; 4] = ["", "src", "tests/it", "crates/channels/src"];
    let mut missing = Vec::new();
    let mut checked = 0;
    for (file, document) in &documents() {
        for name in document.codes.iter().filter(|code| is_source(code)) {
            checked += 1;
            if !BASES
                .iter()
                .any(|base| root().join(base).join(name).exists())
            {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(checked > 40, "only {checked} files");
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn what_newcomers_read_first_stays_short() {
    for (file, most) in [("README.md", 8 * 1024), ("ARCHITECTURE.md", 12 * 1024)] {
        let size = read(&root().join(file)).len();
        assert!(size <= most, "{file} has {size} bytes, at most {most}");
    }
}

#[test]
fn every_setting_of_the_server_is_documented() {
    let shown = Command::new(env!("CARGO_BIN_EXE_inboxd"))
        .args(["serve", "--help"])
        .output()
        .expect("it runs");
    let help = String::from_utf8(shown.stdout).expect("text");
    let page = read(&root().join("docs/configuration.md"));
    for (kind, least) in [("--", 20), ("INBOXD_", 20)] {
        let mut there = names(&help, kind);
        there.retain(|name| !["--help", "--version"].contains(&name.as_str()));
        assert!(there.len() > least, "only {there:?}");
        assert_same(&there, &names(&page, kind), "docs/configuration.md");
    }
}

#[test]
fn every_metric_is_documented() {
    let mut there = BTreeSet::new();
    for folder in ["src", "crates"] {
        visit(&root().join(folder), &mut |file| {
            if file.extension().is_some_and(|kind| kind == "rs") {
                let mut text = read(file);
                text.retain(|one| !one.is_whitespace());
                for call in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                    let called = names(&text, &format!("{call}inboxd_"));
                    there.extend(called.iter().map(|name| name[call.len()..].to_owned()));
                }
            }
        });
    }
    assert!(there.len() > 8, "only {there:?}");
    let page = read(&root().join("docs/operations.md"));
    assert_same(&there, &names(&page, "inboxd_"), "docs/operations.md");
}

fn assert_same(there: &BTreeSet<String>, documented: &BTreeSet<String>, page: &str) {
    let missing: Vec<_> = there.difference(documented).collect();
    let gone: Vec<_> = documented.difference(there).collect();
    assert!(missing.is_empty(), "{page} lacks {missing:?}");
    assert!(gone.is_empty(), "{page} has {gone:?}, which are not there");
}

/// What one document links to, what can be linked to in it, and what it shows as code within a line.
#[derive(Default)]
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
    codes: Vec<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut document = Document::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                    document.codes.push(words.into_string());
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let before = seen.entry(anchor.clone()).or_default();
                    document.anchors.insert(match *before {
                        0 => anchor,
                        count => format!("{anchor}-{count}"),
                    });
                    *before += 1;
                }
                _ => {}
            }
        }
        document
    }
}

/// A heading's anchor, as code hosts make it.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            _ if character.is_alphanumeric() => Some(character),
            _ => None,
        })
        .collect()
}

/// Whether it is a Rust file's path. Capitals stand for a name that its reader chooses.
fn is_source(code: &str) -> bool {
    code.ends_with(".rs") && !code.chars().any(|one| one.is_uppercase() || one == ' ')
}

fn is_relative(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:")
}

/// Every name in the text that begins so. Its other characters are those of a flag, a variable or a metric.
fn names(text: &str, begin: &str) -> BTreeSet<String> {
    let part = |one: char| one.is_ascii_alphanumeric() || "-_".contains(one);
    text.match_indices(begin)
        .filter(|(at, _)| !text[..*at].ends_with(part))
        .map(|(at, _)| {
            let rest = &text[at + begin.len()..];
            let end = rest.find(|one| !part(one)).unwrap_or(rest.len());
            format!("{begin}{}", &rest[..end])
        })
        .filter(|name| name.len() > begin.len() && !name.ends_with(['-', '_']))
        .collect()
}

/// Every document by its path from the root.
fn documents() -> HashMap<PathBuf, Document> {
    let root = root();
    let mut documents = HashMap::new();
    visit(root, &mut |file| {
        if file.extension().is_some_and(|kind| kind == "md") {
            let path = file.strip_prefix(root).expect("below the root");
            documents.insert(path.to_owned(), Document::read(&read(file)));
        }
    });
    documents
}

/// Calls `see` with every file below a folder.
fn visit(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        if entry.file_type().expect("a type").is_dir() {
            if !ELSEWHERE.iter().any(|name| entry.file_name() == *name) {
                visit(&path, see);
            }
        } else {
            see(&path);
        }
    }
}

/// The same path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
