//! Circles between the modules of a crate. Modules that import one another can't be read, tested or changed one by one,
//! so the modules at the root of each crate (a file or a folder) stand in layers.
//!
//! [`check`] reads every source of a crate, finds the paths that begin with `crate`, `super` or `self` ([`Reader`]), and
//! reports each import that closes a circle. What only tests import doesn't count. Nor does the root itself (`lib.rs`,
//! `main.rs`): it is the door through which the crate is entered, as `mod.rs` is a folder's; what it hands on (`pub use`)
//! counts as the module that has it.

use crate::failed::Failed;
use crate::tokens::{Token, tokens};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// Folders whose modules are held to the same, beside those at the roots of crates: crate and folder. The door of a folder is its
/// `mod.rs`.
const FOLDERS: &[(&str, &str)] = &[("cli", "commands")];

/// Where one module imports another: the places, in order.
type Imports = BTreeMap<(String, String), Vec<Location>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Location {
    file: PathBuf,
    line: usize,
}

/// Adds one finding for each import that stands in a circle.
///
/// # Errors
/// When a source can't be read.
pub fn check(root: &Path, crate_name: &str, findings: &mut Vec<String>) -> Result<(), Failed> {
    let src = root.join(crate_name).join("src");
    let folders = FOLDERS.iter().filter(|(name, _)| *name == crate_name).map(|(_, folder)| Some(*folder));
    for folder in std::iter::once(None).chain(folders) {
        let imports = imports_of(&src, folder)?;
        for circle in circles(&imports) {
            report(root, &imports, &circle, findings);
        }
    }
    Ok(())
}

/// Adds a finding for each import that closes the circle.
fn report(root: &Path, imports: &Imports, circle: &BTreeSet<String>, findings: &mut Vec<String>) {
    for ((from, to), places) in imports {
        if !circle.contains(from) || !circle.contains(to) {
            continue;
        }
        let at = &places[0];
        let shown = at.file.strip_prefix(root).unwrap_or(&at.file).display();
        findings.push(format!(
            "{shown}:{}: `{from}` imports `{to}` here ({} in all), and `{to}` comes back to it: {}; move what both need below them",
            at.line,
            places.len(),
            way_back(imports, to, from).join(" → "),
        ));
    }
}

/// All imports between the modules at the root of the crate whose sources lie in `src`, or between those of one folder of it.
fn imports_of(src: &Path, folder: Option<&str>) -> Result<Imports, Failed> {
    let mut imports = Imports::new();
    let door = match folder {
        Some(folder) => file_of(src, folder),
        None => ["lib.rs", "main.rs"].map(|f| src.join(f)).into_iter().find(|f| f.is_file()),
    };
    let Some(door) = door else { return Ok(imports) };
    let base: Vec<String> = folder.map(str::to_owned).into_iter().collect();
    let mut root = Reader::new(&door, base.clone())?;
    root.read();
    let modules = root.modules.clone();
    let exports = root.exports.clone();
    let base_folder = base.iter().fold(src.to_path_buf(), |folder, name| folder.join(name));
    let named = |name: &String| base.iter().chain([name]).cloned().collect();
    let mut waiting: Vec<(Vec<String>, PathBuf)> =
        modules.iter().filter_map(|name| Some((named(name), file_of(&base_folder, name)?))).collect();
    let mut readers = vec![root];
    while let Some((module, file)) = waiting.pop() {
        let mut reader = Reader::new(&file, module.clone())?;
        reader.read();
        let folder = module.iter().fold(src.to_path_buf(), |folder, name| folder.join(name));
        for child in &reader.modules {
            let child_file = match reader.given_paths.get(child) {
                Some(path) => file.parent().map(|f| f.join(path)),
                None => file_of(&folder, child),
            };
            if let Some(child_file) = child_file {
                let name = module.iter().cloned().chain([child.clone()]).collect();
                waiting.push((name, child_file));
            }
        }
        readers.push(reader);
    }
    for reader in readers {
        let Some(from) = reader.module.get(base.len()) else { continue };
        for (line, path) in &reader.paths {
            let Some(path) = path.strip_prefix(&base[..]) else { continue };
            let to = path.first().filter(|name| modules.contains(*name)).or_else(|| exports.get(path.first()?));
            if let Some(to) = to.filter(|to| *to != from) {
                let place = Location { file: reader.file.clone(), line: *line };
                imports.entry((from.clone(), to.clone())).or_default().push(place);
            }
        }
    }
    for places in imports.values_mut() {
        places.sort();
    }
    Ok(imports)
}

/// The file of the module `name` that is declared by what lies over `folder`.
fn file_of(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")].into_iter().find(|f| f.is_file())
}

/// The sets of modules that all reach one another, of two or more.
fn circles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let names: BTreeSet<&String> = imports.keys().flat_map(|(from, to)| [from, to]).collect();
    let reached: BTreeMap<&String, BTreeSet<String>> = names.iter().map(|n| (*n, reachable(imports, n))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for name in names {
        if circles.iter().any(|c| c.contains(name)) || !reached[name].contains(name) {
            continue;
        }
        circles.push(reached[name].iter().filter(|other| reached[*other].contains(name)).cloned().collect());
    }
    circles
}

fn reachable(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![from.to_owned()];
    while let Some(name) = waiting.pop() {
        for (_, to) in imports.keys().filter(|(f, _)| *f == name) {
            if found.insert(to.clone()) {
                waiting.push(to.clone());
            }
        }
    }
    found
}

/// The shortest way from one module to another along imports, both ends among it.
fn way_back(imports: &Imports, from: &str, to: &str) -> Vec<String> {
    let mut waiting = VecDeque::from([vec![from.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = waiting.pop_front() {
        let last = &way[way.len() - 1];
        if last == to {
            return way;
        }
        for (_, next) in imports.keys().filter(|(f, _)| f == last) {
            if seen.insert(next.clone()) {
                waiting.push_back(way.iter().cloned().chain([next.clone()]).collect());
            }
        }
    }
    vec![from.to_owned(), to.to_owned()]
}

/// Finds the paths in one file that lead out of it.
struct Reader {
    file: PathBuf,
    /// The file's module, as path from the crate's root.
    module: Vec<String>,
    tokens: Vec<Token>,
    at: usize,
    /// Modules that the file declares and that lie in files of their own; those for tests aren't among them.
    modules: BTreeSet<String>,
    /// The path that an attribute gives for one of them.
    given_paths: BTreeMap<String, String>,
    /// Names that the file hands on (`pub use`), each with the module at the crate's root that has it.
    exports: BTreeMap<String, String>,
    /// Absolute paths that the file names, each with its line.
    paths: Vec<(usize, Vec<String>)>,
}

impl Reader {
    fn new(file: &Path, module: Vec<String>) -> Result<Self, Failed> {
        let text =
            std::fs::read_to_string(file).map_err(|e| Failed::new(format!("cannot read {}: {e}", file.display())))?;
        Ok(Self::of_text(file, module, &text))
    }

    fn of_text(file: &Path, module: Vec<String>, text: &str) -> Self {
        Self {
            file: file.to_path_buf(),
            module,
            tokens: tokens(text),
            at: 0,
            modules: BTreeSet::new(),
            given_paths: BTreeMap::new(),
            exports: BTreeMap::new(),
            paths: Vec::new(),
        }
    }

    fn read(&mut self) {
        // The inline modules around the current place, each with the depth of braces at which it ends.
        let mut inline: Vec<(String, usize)> = Vec::new();
        let mut depth = 0;
        let mut given_path = None;
        while self.at < self.tokens.len() {
            let here: Vec<String> = self.module.iter().chain(inline.iter().map(|(name, _)| name)).cloned().collect();
            match self.word(0) {
                "#" if self.word(1) == "[" || self.word(1) == "!" => {
                    let attribute = self.attribute();
                    if attribute.starts_with("cfg(") && is_for_tests(&attribute) {
                        self.skip_item();
                    } else if let Some(path) = attribute.strip_prefix("path=") {
                        given_path = Some(path.trim_matches('"').to_owned());
                    }
                }
                "{" => {
                    depth += 1;
                    self.at += 1;
                }
                "}" => {
                    if inline.last().is_some_and(|(_, ends)| *ends == depth) {
                        inline.pop();
                    }
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                "mod" if self.word(2) == ";" => {
                    let name = self.word(1).to_owned();
                    if let Some(path) = given_path.take() {
                        self.given_paths.insert(name.clone(), path);
                    }
                    self.modules.insert(name);
                    self.at += 3;
                }
                "mod" if self.word(2) == "{" => {
                    depth += 1;
                    inline.push((self.word(1).to_owned(), depth));
                    self.at += 3;
                }
                "use" => {
                    let exported = self.at > 0 && matches!(self.tokens[self.at - 1].text.as_str(), "pub" | ")");
                    self.at += 1;
                    self.use_tree(&here, exported);
                }
                "crate" | "super" | "self" if self.word(1) == "::" && !self.continues_a_path() => {
                    let line = self.tokens[self.at].line;
                    let mut path = self.start_of_path(&here);
                    path.push(self.word(0).to_owned());
                    self.paths.push((line, path));
                }
                _ => self.at += 1,
            }
        }
    }

    /// The word so many tokens ahead; empty at the end.
    fn word(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |t| t.text.as_str())
    }

    fn continues_a_path(&self) -> bool {
        self.at > 0 && self.tokens[self.at - 1].text == "::"
    }

    /// Reads `crate::`, `self::` or `super::super::` and gives the absolute path of the module it leads to.
    fn start_of_path(&mut self, here: &[String]) -> Vec<String> {
        let mut path = here.to_vec();
        loop {
            match self.word(0) {
                "crate" if self.word(1) == "::" => path.clear(),
                "super" if self.word(1) == "::" => {
                    path.pop();
                }
                "self" if self.word(1) == "::" => {}
                _ => return path,
            }
            self.at += 2;
        }
    }

    /// Reads a `use` up to its `;`. Paths that begin with the name of another crate lead nowhere here.
    fn use_tree(&mut self, here: &[String], exported: bool) {
        let line = self.tokens.get(self.at).map_or(0, |t| t.line);
        let first = self.word(0).to_owned();
        let inside = matches!(first.as_str(), "crate" | "super" | "self");
        let start = if inside { self.start_of_path(here) } else { Vec::new() };
        let mut leaves = Vec::new();
        if inside || here.is_empty() {
            self.tree(start, &mut leaves);
        }
        while self.at < self.tokens.len() && self.word(0) != ";" {
            self.at += 1;
        }
        for (path, name) in leaves {
            if here.is_empty() && exported {
                if let (Some(module), false) = (path.first(), path.len() < 2 && path.first() == Some(&name)) {
                    self.exports.insert(name, module.clone());
                }
            } else if inside {
                self.paths.push((line, path));
            }
        }
    }

    /// Reads a tree of names and collects its leaves: each path, and the name under which it is known from here on.
    fn tree(&mut self, mut path: Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
        loop {
            match self.word(0) {
                "{" => {
                    self.at += 1;
                    while !matches!(self.word(0), "}" | "") {
                        self.tree(path.clone(), leaves);
                        if self.word(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "::" => self.at += 1,
                "as" => {
                    let name = self.word(1).to_owned();
                    self.at += 2;
                    leaves.push((path, name));
                    return;
                }
                "" | "," | "}" | ";" => {
                    let name = path.last().cloned().unwrap_or_default();
                    leaves.push((path, name));
                    return;
                }
                "self" => self.at += 1,
                word => {
                    path.push(word.to_owned());
                    self.at += 1;
                }
            }
        }
    }

    /// Reads an attribute, and gives what stands between its brackets, without spaces.
    fn attribute(&mut self) -> String {
        let mut text = String::new();
        let mut depth = 0;
        self.at += 1;
        while self.at < self.tokens.len() {
            match self.word(0) {
                "[" => depth += 1,
                "]" => depth -= 1,
                _ => {}
            }
            // Its own brackets aren't part of it.
            if depth > 1 || depth == 1 && self.word(0) != "[" {
                text.push_str(self.word(0));
            }
            self.at += 1;
            if depth == 0 && self.tokens[self.at - 1].text == "]" {
                break;
            }
        }
        text
    }

    /// Leaves out an item: up to its `;`, or to the end of its braces.
    fn skip_item(&mut self) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.word(0) {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            let ends = depth == 0 && matches!(self.word(0), ";" | "}");
            self.at += 1;
            if ends || depth < 0 {
                return;
            }
        }
    }
}

/// Tells whether a condition holds only where tests are compiled.
fn is_for_tests(attribute: &str) -> bool {
    let condition = &attribute["cfg(".len()..];
    condition.starts_with("test)") || condition.starts_with("all(test,") || condition.contains(",test)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(module: &[&str], text: &str) -> Vec<String> {
        let module = module.iter().map(|m| (*m).to_owned()).collect();
        let mut reader = Reader::of_text(Path::new("x.rs"), module, text);
        reader.read();
        reader.paths.iter().map(|(_, path)| path.join("::")).collect()
    }

    #[test]
    fn paths_are_read_in_imports_and_in_code() {
        assert_eq!(paths(&["a"], "use crate::{b::{C, self}, d as e};"), ["b::C", "b", "d"]);
        assert_eq!(paths(&["a"], "fn f(x: super::b::B) { crate::c::g(x) }"), ["b", "c"]);
        assert_eq!(paths(&["a", "i"], "use super::j; use super::super::b;"), ["a::j", "b"]);
        assert_eq!(paths(&["a"], "use std::collections::{self, BTreeMap};"), [""; 0]);
    }

    #[test]
    fn comments_strings_and_tests_do_not_count() {
        let text = "/// [`crate::b`]\nfn f() { \"crate::c::d\"; '\\''; }\n#[cfg(test)]\nmod tests { use crate::d::D; }";
        assert_eq!(paths(&["a"], text), [""; 0]);
    }

    #[test]
    fn an_inline_module_is_one_level_down() {
        assert_eq!(paths(&["a"], "mod i { use super::super::b; } use super::c;"), ["b", "c"]);
    }

    #[test]
    fn modules_that_reach_one_another_are_a_circle() {
        let place = Location { file: PathBuf::from("x.rs"), line: 1 };
        let imports: Imports = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]
            .into_iter()
            .map(|(from, to)| ((from.to_owned(), to.to_owned()), vec![place.clone()]))
            .collect();
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(circles(&imports).iter().map(names).collect::<Vec<_>>(), ["a b c"]);
        assert_eq!(way_back(&imports, "b", "a"), ["b", "c", "a"]);
    }

    #[test]
    fn modules_of_a_folder_are_read_like_those_of_a_crate() {
        let src = std::env::temp_dir().join(format!("sillage-circles-{}", std::process::id()));
        std::fs::create_dir_all(src.join("commands/c")).expect("a folder");
        for (file, text) in [
            ("commands/mod.rs", "mod a; mod b; mod c; pub struct Cli;"),
            ("commands/a.rs", "use super::b::B; use crate::output;"),
            ("commands/b.rs", "use crate::commands::c::{C, D}; use super::Cli;"),
            ("commands/c/mod.rs", "mod inner;"),
            ("commands/c/inner.rs", "use crate::commands::a::A; use super::C;"),
        ] {
            std::fs::write(src.join(file), text).expect("written");
        }
        let imports = imports_of(&src, Some("commands"));
        std::fs::remove_dir_all(&src).expect("removed");
        let found: Vec<Vec<String>> =
            circles(&imports.expect("read")).into_iter().map(|circle| circle.into_iter().collect()).collect();
        assert_eq!(found, [["a", "b", "c"]]);
    }
}
