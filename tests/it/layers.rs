//! Which module may use which. An arrow that is not drawn here is not in the code, and no arrows lead round in a circle.
//!
//! What a file uses is read from its text: paths from `crate::`, `super::` and `self::`, and those of its own modules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From the front doors down. What stands in [`BESIDE`] may be used by all.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("main", &["cli"]),
    ("cli", &["serve", "demo", "ops", "store"]),
    (
        "serve",
        &["serve_connection", "router", "http", "worker", "ops"],
    ),
    ("serve_connection", &["router", "http"]),
    ("demo", &["ops"]),
    ("router", &["api", "hooks", "livechat", "http"]),
    ("api", &["http", "ops", "cache", "store"]),
    ("hooks", &["http", "ops"]),
    ("livechat", &["http", "ops"]),
    ("http", &["ops"]),
    ("worker", &["ops", "provider"]),
    ("ops", &["cache", "store", "provider"]),
    ("cache", &["store"]),
    ("store", &[]),
    ("provider", &[]),
];

/// The modules beside the layers: they use each other, and know nothing of who uses them.
const BESIDE: [&str; 9] = [
    "clock",
    "config",
    "domain",
    "error",
    "id",
    "input",
    "principal",
    "rendered",
    "vault",
];

/// Crates that only know HTTP, and the modules that must not know it.
const OF_HTTP: [&str; 6] = [
    "axum",
    "hyper",
    "hyper_util",
    "reqwest",
    "tower",
    "tower_http",
];
const WITHOUT_HTTP: [&str; 14] = [
    "cli",
    "worker",
    "ops",
    "cache",
    "store",
    "clock",
    "config",
    "domain",
    "error",
    "id",
    "input",
    "principal",
    "rendered",
    "vault",
];

#[test]
fn every_arrow_points_down() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let module = file.top();
        let allowed: BTreeSet<_> = MAY_USE
            .iter()
            .filter(|(name, _)| *name == module)
            .flat_map(|(_, below)| below.iter().copied())
            .chain(BESIDE)
            .chain([module])
            .collect();
        for path in file.uses() {
            let used = path.first().map_or("", String::as_str);
            if !allowed.contains(used) {
                wrong.push(format!("{}: {module} uses {used}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    let known: BTreeSet<_> = MAY_USE
        .iter()
        .map(|(name, _)| *name)
        .chain(BESIDE)
        .collect();
    let files = sources("src");
    let there: BTreeSet<_> = files.iter().map(Source::top).collect();
    let strangers: Vec<_> = there.difference(&known).collect();
    assert_eq!(strangers, [&"lib"]);
}

/// A module and the modules inside it are one thing: what a parent says for its children makes no circle.
#[test]
fn no_files_use_each_other_in_a_circle() {
    let found: Vec<_> = ["src", "crates/db/src", "crates/channels/src"]
        .into_iter()
        .flat_map(|root| circles(&arrows(&sources(root))))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn operations_and_the_store_know_nothing_of_http() {
    for file in sources("src") {
        if WITHOUT_HTTP.contains(&file.top()) {
            for name in OF_HTTP {
                let uses = !paths_after(&file.text, name).is_empty();
                assert!(!uses, "{} uses {name}", file.path);
            }
        }
    }
}

#[test]
fn a_crate_beside_the_program_knows_nothing_of_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    for name in ["db", "channels"] {
        let manifest = fs::read_to_string(crates.join(name).join("Cargo.toml"));
        let manifest = manifest.expect("a crate");
        assert!(!manifest.contains("inboxd"), "{name}");
        assert!(!manifest.contains("path = "), "{name} stands alone");
    }
}

#[test]
fn paths_are_read_as_the_compiler_does() {
    let file = Source::new(
        "src/ops/memory/kept.rs",
        "src",
        "
        mod inner;
        use crate::{a, b::{c, d::{self, D}}, e::f as g,
            h};
        use super::{keys::K, pages};
        use super::super::events;
        pub(crate) fn x() { crate::i::j(); $crate::k!(); mycrate::l(); crate ::m(); inner::y(); my_inner::z() }
        // crate::n
        /* crate::o */
        #[cfg(test)]
        mod tests { use super::super::p; }
        ",
    );
    let uses: Vec<_> = file.uses().iter().map(|path| path.join(".")).collect();
    assert_eq!(
        uses,
        [
            "a",
            "b.c",
            "b.d",
            "b.d.D",
            "e.f",
            "h",
            "i.j",
            "k",
            "ops.events",
            "ops.memory.kept.inner.y",
            "ops.memory.keys.K",
            "ops.memory.pages",
        ]
    );
}

#[test]
fn circles_are_found_and_parents_make_none() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; mod d; use a::A;"),
        ("src/a/mod.rs", "mod x; mod y; use x::X; use crate::d::D;"),
        ("src/a/x.rs", "use super::A; use super::y::Y;"),
        ("src/a/y.rs", "use crate::b::B;"),
        ("src/b.rs", "fn b() { crate::c::c() }"),
        ("src/c.rs", "use crate::{a::x::X};"),
        ("src/d.rs", "use crate::A;"),
    ];
    let files = files.map(|(path, text)| Source::new(path, "src", text));
    let expected = ["src/a/x.rs", "src/a/y.rs", "src/b.rs", "src/c.rs"];
    assert_eq!(circles(&arrows(&files)), [expected]);
}

/// A file of a crate.
struct Source {
    /// From the repository's root.
    path: String,
    /// Where it is in the crate: `["ops", "memory"]`. The crate's own root is empty.
    module: Vec<String>,
    /// Without comments and tests, which use what they like.
    text: String,
}

impl Source {
    fn new(path: &str, root: &str, text: &str) -> Self {
        let below = path.strip_prefix(root).expect("a file below the root");
        let below = below.trim_start_matches('/').trim_end_matches(".rs");
        let mut module: Vec<_> = below.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        let text = without_comments(text);
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        // The text of the test above is indented.
        let text = text.split("#[cfg(test)]\n        mod ").next();
        Source {
            path: path.to_owned(),
            module,
            text: text.unwrap_or_default().to_owned(),
        }
    }

    /// The top module that it is part of.
    fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// The paths that it names, from the crate's root.
    fn uses(&self) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        // The program is another crate than its library.
        for root in ["crate", "inboxd"] {
            found.extend(paths_after(&self.text, root));
        }
        for (root, up) in [("self", 0), ("super", 1)] {
            for path in paths_after(&self.text, root) {
                let more = path.iter().take_while(|name| *name == "super").count();
                let depth = self.module.len().saturating_sub(up + more);
                found.insert([&self.module[..depth], &path[more..]].concat());
            }
        }
        for child in self.children() {
            for path in paths_after(&self.text, &child) {
                found.insert([&self.module[..], std::slice::from_ref(&child), &path].concat());
            }
        }
        found
    }

    /// The modules that it declares.
    fn children(&self) -> Vec<String> {
        let lines = self.text.split(['\n', ';', '{', '}']);
        lines
            .filter_map(|line| {
                let (before, name) = line.split_once("mod ")?;
                let visibility = before.trim();
                let declares = visibility.is_empty() || visibility.starts_with("pub");
                declares.then(|| name.trim().to_owned())
            })
            .collect()
    }
}

/// From each file to those that it uses: a path leads to the deepest module that is a file. What a module's own parents say
/// is not counted.
fn arrows(files: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let by_module: BTreeMap<_, _> = files
        .iter()
        .map(|file| (&file.module[..], file.path.as_str()))
        .collect();
    files
        .iter()
        .map(|file| {
            let used = file.uses().into_iter().filter_map(|path| {
                let deepest = (0..=path.len()).rev().map(|depth| &path[..depth]);
                let (module, target) = deepest
                    .filter_map(|module| Some((module, *by_module.get(module)?)))
                    .next()?;
                (!file.module.starts_with(module)).then_some(target)
            });
            (file.path.as_str(), used.collect())
        })
        .collect()
}

/// The sets of files that all lead to each other, each set in order.
fn circles(arrows: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Vec<String>> {
    let reachable: BTreeMap<_, _> = arrows
        .keys()
        .map(|start| {
            let mut seen = BTreeSet::new();
            let mut next = vec![*start];
            while let Some(file) = next.pop() {
                next.extend(arrows[file].iter().filter(|target| seen.insert(**target)));
            }
            (*start, seen)
        })
        .collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, reached) in &reachable {
        if reached.contains(file) {
            let mutual = reached
                .iter()
                .filter(|other| reachable[*other].contains(file));
            found.insert(mutual.map(|other| (*other).to_owned()).collect());
        }
    }
    found.into_iter().collect()
}

/// Every source file below this folder.
fn sources(root: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![top.join(root)];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 5, "this is not the whole of {root}");
    found.sort();
    found
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("a text");
            let below = path.strip_prefix(top).expect("a file of ours");
            Source::new(below.to_str().expect("a text"), root, &text)
        })
        .collect()
}

/// Doc comments link to whatever they like.
fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        kept.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    let lines = kept
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths that begin with this name, without it. One that is only the end of a longer word or path is none.
fn paths_after(text: &str, first: &str) -> Vec<Vec<String>> {
    let start = format!("{first}::");
    let mut paths = Vec::new();
    for (at, _) in text.match_indices(&start) {
        let before = text[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || "_:".contains(c)) {
            read_tree(&text[at + start.len()..], &[], &mut paths);
        }
    }
    paths
}

/// Reads a path, or a tree of them as `use` has it: `a::{b, c::d}`. Returns what is left of the text.
fn read_tree<'a>(text: &'a str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = read_tree(rest, prefix, paths).trim_start();
            // What comes after `as` is no path.
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            rest = &rest[end..];
            match rest.strip_prefix(',') {
                Some(after) if after.trim_start().starts_with('}') => {
                    return &after.trim_start()[1..];
                }
                Some(after) => rest = after,
                None => return rest.get(1..).unwrap_or_default(),
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let mut path = prefix.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) => read_tree(rest, &path, paths),
        None => {
            paths.push(path);
            rest
        }
    }
}
