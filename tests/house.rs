//! The house rule: modules stand in `lib.rs` in the order in which data flows, and a module imports
//! only modules that are declared above it.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The top-level modules that `text` names: `crate::name` and `use crate::{a::x, b}`.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        if let Some(list) = part.strip_prefix('{') {
            let list = list.split(';').next().unwrap_or_default();
            let mut depth = 0;
            let mut name = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth <= 0 => names.push(std::mem::take(&mut name)),
                    _ if depth <= 0 => name.push(character),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(part.to_owned());
        }
    }
    names
        .into_iter()
        .map(|name| {
            name.trim()
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn a_module_imports_only_modules_declared_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(order.len() > 10, "{order:?}");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).expect("below src");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let Some(place) = order.iter().position(|name| *name == module) else {
            assert!(
                matches!(module.as_str(), "lib" | "main"),
                "{module} is not declared in lib.rs"
            );
            continue;
        };
        for import in imports(&fs::read_to_string(&path).expect("a source")) {
            let Some(other) = order.iter().position(|name| *name == import) else {
                continue;
            };
            checked += 1;
            if other > place {
                wrong.push(format!(
                    "{} imports crate::{import}, which is declared below {module}",
                    inside.display()
                ));
            }
        }
    }
    assert!(
        checked > 50,
        "only {checked} imports were found: does the test still read them?"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_test_reads_single_and_grouped_imports() {
    assert_eq!(
        imports("use crate::error::{A, B};\nuse crate::{plan, ledger::{X, Y}, day};"),
        ["error", "plan", "ledger", "day"]
    );
    assert_eq!(
        imports("// crate::comment\nlet x = crate::verify::raw();"),
        ["verify"]
    );
}
