//! Each bundle is a file that Arroyo takes: its rules, as its source states them (`arroyo-udf-host`, `ParsedUdfFile`), once more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use syn::{FnArg, GenericArgument, Item, ItemFn, PathArguments, ReturnType, Type};

/// The one function at the top that carries an attribute whose last segment is `udf`.
fn marked(text: &str) -> ItemFn {
    let marked: Vec<ItemFn> = syn::parse_file(text)
        .unwrap()
        .items
        .into_iter()
        .filter_map(|item| match item {
            Item::Fn(function) => Some(function),
            _ => None,
        })
        .filter(|function| {
            let mut attributes = function.attrs.iter();
            attributes.any(|attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "udf"))
        })
        .collect();
    assert_eq!(marked.len(), 1);
    marked.into_iter().next().unwrap()
}

/// The tables of the comment that begins with `/*`, a new line and `[dependencies]`.
fn dependencies(text: &str) -> Vec<toml::Table> {
    let comments = text.split("/*\n[dependencies]\n").skip(1);
    let tables = comments.map(|rest| rest.split("*/").next().unwrap());
    tables.map(|table| table.parse().unwrap()).collect()
}

/// What is in the angle brackets of `name<...>`.
fn within(name: &str, of: &Type) -> Option<Type> {
    let Type::Path(path) = of else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(inner) if last.ident == name => Some(inner.clone()),
        _ => None,
    }
}

/// The SQL type that Arroyo reads from a Rust type.
fn sql_type(of: &Type, returned: bool) -> &'static str {
    let of = within("Option", of).unwrap_or_else(|| of.clone());
    let word = |path: &syn::TypePath| path.path.segments.last().unwrap().ident.to_string();
    match &of {
        Type::Path(path) if word(path) == "i64" => "BIGINT",
        Type::Path(path) if word(path) == "f64" => "DOUBLE",
        Type::Path(path) if word(path) == "String" && returned => "TEXT",
        Type::Path(_) if within("Vec", &of).is_some() && returned => "BYTEA",
        Type::Reference(reference) if !returned => match &*reference.elem {
            Type::Path(path) if word(path) == "str" => "TEXT",
            Type::Slice(_) => "BYTEA",
            _ => panic!("Arroyo does not know this reference"),
        },
        _ => panic!("Arroyo does not know this type"),
    }
}

/// `name(ARGUMENTS) -> RETURNED`, an aggregate with `aggregate` before it.
fn signature(function: &ItemFn) -> String {
    let arguments: Vec<&Type> = function
        .sig
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Typed(argument) => &*argument.ty,
            FnArg::Receiver(_) => panic!("Arroyo takes no self"),
        })
        .collect();
    let lists = arguments.iter().filter(|of| within("Vec", of).is_some()).count();
    assert!(
        lists == 0 || lists == arguments.len(),
        "Arroyo takes lists everywhere or nowhere"
    );
    let types: Vec<&str> = arguments
        .iter()
        .map(|of| sql_type(&within("Vec", of).unwrap_or_else(|| (*of).clone()), false))
        .collect();
    let ReturnType::Type(_, returned) = &function.sig.output else {
        panic!("Arroyo wants a result");
    };
    let kind = if lists > 0 { "aggregate " } else { "" };
    let (name, types, returned) = (&function.sig.ident, types.join(", "), sql_type(returned, true));
    format!("{kind}{name}({types}) -> {returned}")
}

#[test]
fn signatures_are_those_of_the_manual() {
    let found: Vec<String> = hitters_plugin::functions()
        .map(|name| signature(&marked(&hitters_plugin::bundle(name).unwrap())))
        .collect();
    assert_eq!(
        found,
        [
            "approx_count_estimate(BYTEA, TEXT) -> TEXT",
            "approx_heavy_hitters(BYTEA, DOUBLE) -> TEXT",
            "approx_max_items(DOUBLE, DOUBLE) -> BIGINT",
            "aggregate approx_top_k(TEXT, BIGINT) -> TEXT",
            "aggregate approx_top_k_accumulate(TEXT, BIGINT) -> BYTEA",
            "approx_top_k_batch(TEXT, TEXT, BIGINT) -> BYTEA",
            "aggregate approx_top_k_combine(BYTEA) -> BYTEA",
            "approx_top_k_estimate(BYTEA, BIGINT) -> TEXT",
            "aggregate approx_top_sum(TEXT, BIGINT, BIGINT) -> TEXT",
            "aggregate approx_top_sum_accumulate(TEXT, BIGINT, BIGINT) -> BYTEA",
            "approx_top_sum_batch(TEXT, BIGINT, TEXT, BIGINT) -> BYTEA",
            "aggregate count_min_accumulate(TEXT, DOUBLE, DOUBLE) -> BYTEA",
            "aggregate count_min_combine(BYTEA) -> BYTEA",
            "count_min_estimate(BYTEA, TEXT) -> TEXT",
        ]
    );
}

#[test]
fn every_function_over_sketches_has_a_plugin() {
    let here: BTreeSet<String> = hitters_plugin::functions().map(str::to_owned).collect();
    let aggregates = hitters_functions::aggregate_functions();
    let scalars = hitters_functions::scalar_functions();
    let embedded: BTreeSet<String> = aggregates
        .iter()
        .map(|function| function.name().to_owned())
        .chain(scalars.iter().map(|function| function.name().to_owned()))
        // Arroyo has the functions over JSON itself.
        .filter(|name| name.starts_with("approx_") || name.starts_with("count_min_"))
        .collect();
    assert_eq!(here, embedded);
}

#[test]
fn nothing_is_needed_but_the_crates_registry() {
    for name in hitters_plugin::functions() {
        let text = hitters_plugin::bundle(name).unwrap();
        let tables = dependencies(&text);
        assert_eq!(tables.len(), 1, "{name}");
        assert_eq!(tables[0].len(), 1, "{name}");
        assert_eq!(tables[0]["arroyo-udf-plugin"].as_str(), Some("^0.2.0"), "{name}");
        assert!(!text.contains("cfg(test)"), "{name}");
        // `{{ NAME }}` would be read from the environment of the cluster.
        let table = text.split("*/").next().unwrap();
        assert!(!table.contains("{{"), "{name}");
    }
}

#[test]
fn a_bundle_says_which_version_it_is() {
    let mut contents = BTreeSet::new();
    for name in hitters_plugin::functions() {
        let text = hitters_plugin::bundle(name).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with(&format!("// {name} of Hitters {}, content ", hitters_plugin::VERSION)),
            "{first}"
        );
        contents.insert(first.split("content ").nth(1).unwrap()[..16].to_owned());
    }
    assert_eq!(contents.len(), hitters_plugin::functions().count());
}
