//! Holds `FUNCTIONS.md` to what the functions say of themselves. `BLESS=1 cargo test -p hitters-functions --test manual`
//! writes it anew.

use std::fmt::Write;
use std::path::Path;

use datafusion_expr::Documentation;

fn section(out: &mut String, name: &str, kind: &str, page: &Documentation) {
    let _ = write!(
        out,
        "\n### {name}\n\n{kind} `{}`\n\n{}\n\n",
        page.syntax_example, page.description
    );
    for (argument, meaning) in page.arguments.iter().flatten() {
        let _ = writeln!(out, "* `{argument}`: {meaning}");
    }
    if let Some(example) = &page.sql_example {
        let _ = write!(out, "\n```sql\n{example}\n```\n");
    }
    if let Some(related) = &page.related_udfs {
        let _ = write!(out, "\nSee also: {}\n", related.join(", "));
    }
}

fn manual() -> String {
    let mut pages: Vec<(String, &str, Documentation)> = Vec::new();
    for function in hitters_functions::aggregate_functions() {
        pages.push((
            function.name().to_owned(),
            "Aggregate",
            function.documentation().unwrap().clone(),
        ));
    }
    for function in hitters_functions::scalar_functions() {
        pages.push((
            function.name().to_owned(),
            "Scalar",
            function.documentation().unwrap().clone(),
        ));
    }
    pages.sort_by(|a, b| (a.2.doc_section.label, &a.0).cmp(&(b.2.doc_section.label, &b.0)));
    let mut out = String::from("# SQL functions\n\nWritten from the functions themselves; do not edit by hand.\n");
    let mut label = "";
    for (name, kind, page) in &pages {
        if page.doc_section.label != label {
            label = page.doc_section.label;
            let _ = write!(
                out,
                "\n## {label}\n\n{}\n",
                page.doc_section.description.unwrap_or_default()
            );
        }
        section(&mut out, name, kind, page);
    }
    out
}

#[test]
fn the_manual_says_what_the_functions_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("FUNCTIONS.md");
    let manual = manual();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &manual).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == manual,
        "FUNCTIONS.md is out of date: run BLESS=1 cargo test -p hitters-functions --test manual"
    );
}
