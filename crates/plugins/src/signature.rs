//! What a plugin's file declares: one function, its arguments and its result, by Arroyo's rules.

use crate::Fault;
use arrow::datatypes::{DataType, TimeUnit};
use syn::{FnArg, GenericArgument, Item, ItemFn, PathArguments, ReturnType, Type};

/// A function as SQL sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Signature {
    pub name: String,
    /// Types of the arguments; for an aggregate those of one value.
    pub arguments: Vec<DataType>,
    pub result: DataType,
    pub aggregate: bool,
}

/// Why there is no signature.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The text is no Rust.
    Syntax(Fault),
    /// It is, but not a plugin that is hosted here.
    Refused(Vec<Fault>),
}

const TYPES: &str = "types: bool, i8 to i64, u8 to u64, f32, f64, SystemTime; &str and &[u8] as arguments, String and Vec<u8> as results; \
     Option<T> of these; Vec<T> or Vec<Option<T>> for all arguments of an aggregate";

pub(crate) fn read(text: &str) -> Result<Signature, Unread> {
    let file =
        syn::parse_file(text).map_err(|error| Unread::Syntax(Fault::new(format!("this is no Rust: {error}"))))?;
    let functions: Vec<&ItemFn> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Fn(function) if marked(function) => Some(function),
            _ => None,
        })
        .collect();
    let refused = |fault: Fault| Unread::Refused(vec![fault]);
    match functions.as_slice() {
        [] => Err(refused(
            Fault::new("no function of the file is marked as a plugin").hint("write #[udf] before it, as Arroyo wants"),
        )),
        [function] => of(function, text),
        [_, second, ..] => Err(refused(
            Fault::new("a file holds one function under #[udf]")
                .at(place(text, &second.sig.ident.to_string()))
                .hint("put each function into a file of its own"),
        )),
    }
}

/// Arroyo looks at the last name of an attribute alone.
fn marked(function: &ItemFn) -> bool {
    let last = |attribute: &syn::Attribute| attribute.path().segments.last().is_some_and(|s| s.ident == "udf");
    function.attrs.iter().any(last)
}

fn of(function: &ItemFn, text: &str) -> Result<Signature, Unread> {
    let name = function.sig.ident.to_string();
    let at = place(text, &name);
    let mut faults = Vec::new();
    let mut refuse = |message: String, hint: &str| faults.push(Fault::new(message).at(at.clone()).hint(hint));
    if function.sig.asyncness.is_some() {
        refuse(
            format!("{name} is async, and async functions run on Arroyo only"),
            "make it a plain function, or run the pipeline on a cluster with hitters deploy",
        );
    }
    if function.sig.inputs.is_empty() {
        refuse(
            format!("{name} has no arguments"),
            "it is called with columns: give it one",
        );
    }
    let mut arguments = Vec::new();
    let mut lists = 0;
    for argument in &function.sig.inputs {
        let FnArg::Typed(typed) = argument else {
            refuse(format!("{name} takes self"), "write a function, not a method");
            continue;
        };
        let inner = argument_of("Vec", &typed.ty);
        lists += usize::from(inner.is_some());
        match arrow_type(inner.unwrap_or(&typed.ty), false) {
            Some(data_type) => arguments.push(data_type),
            None => refuse(
                format!(
                    "argument {} of {name} has a type that is not taken",
                    arguments.len() + 1
                ),
                TYPES,
            ),
        }
    }
    if lists > 0 && lists < function.sig.inputs.len() {
        refuse(
            format!("some arguments of {name} are lists of values and some are not"),
            "an aggregate takes Vec<T> for every argument",
        );
    }
    let result = match &function.sig.output {
        ReturnType::Type(_, result) => arrow_type(result, true),
        ReturnType::Default => None,
    };
    if result.is_none() {
        refuse(format!("{name} returns a type that is not taken"), TYPES);
    }
    match result {
        Some(result) if faults.is_empty() => Ok(Signature {
            name,
            arguments,
            result,
            aggregate: lists > 0,
        }),
        _ => Err(Unread::Refused(faults)),
    }
}

/// The name of a function in the text.
fn place(text: &str, name: &str) -> std::ops::Range<usize> {
    let start = text.find(&format!("fn {name}")).map_or(0, |found| found + 3);
    start..(start + name.len()).min(text.len())
}

/// `T` of `Vec<T>` or `Option<T>`.
fn argument_of<'t>(outer: &str, from: &'t Type) -> Option<&'t Type> {
    let Type::Path(path) = from else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == outer)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}

/// The SQL type of a Rust type; `owned` for results.
fn arrow_type(from: &Type, owned: bool) -> Option<DataType> {
    if let Some(inner) = argument_of("Option", from) {
        return arrow_type(inner, owned);
    }
    if let (Some(inner), true) = (argument_of("Vec", from), owned) {
        return (word(inner)? == "u8").then_some(DataType::BinaryView);
    }
    if let Type::Reference(reference) = from {
        return match reference.elem.as_ref() {
            Type::Slice(slice) if !owned => (word(&slice.elem)? == "u8").then_some(DataType::BinaryView),
            inner => (word(inner)? == "str" && !owned).then_some(DataType::Utf8View),
        };
    }
    Some(match word(from)?.as_str() {
        "bool" => DataType::Boolean,
        "i8" => DataType::Int8,
        "i16" => DataType::Int16,
        "i32" => DataType::Int32,
        "i64" => DataType::Int64,
        "u8" => DataType::UInt8,
        "u16" => DataType::UInt16,
        "u32" => DataType::UInt32,
        "u64" => DataType::UInt64,
        "f32" => DataType::Float32,
        "f64" => DataType::Float64,
        "SystemTime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "String" if owned => DataType::Utf8View,
        _ => return None,
    })
}

/// The last name of a path without arguments.
fn word(from: &Type) -> Option<String> {
    let Type::Path(path) = from else { return None };
    let last = path.path.segments.last()?;
    last.arguments.is_empty().then(|| last.ident.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match read(text).unwrap_err() {
            Unread::Refused(faults) => faults.iter().map(|f| f.message.as_str()).collect::<Vec<_>>().join("; "),
            Unread::Syntax(fault) => fault.message,
        }
    }

    #[test]
    fn types_are_those_of_arroyo() {
        let scalar =
            "#[udf] fn f(a: &str, b: Option<&[u8]>, c: u64, d: std::time::SystemTime) -> Option<String> { None }";
        let signature = read(scalar).unwrap();
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(
            signature.arguments,
            [DataType::Utf8View, DataType::BinaryView, DataType::UInt64, time]
        );
        assert_eq!((signature.result, signature.aggregate), (DataType::Utf8View, false));
        let aggregate = "fn help() {} #[rustfmt::udf] fn f(a: Vec<i64>, b: Vec<Option<&str>>) -> Vec<u8> { vec![] }";
        let signature = read(aggregate).unwrap();
        assert_eq!(signature.arguments, [DataType::Int64, DataType::Utf8View]);
        assert_eq!((signature.result, signature.aggregate), (DataType::BinaryView, true));
    }

    #[test]
    fn what_is_not_hosted_is_refused_with_the_reason() {
        for (text, why) in [
            ("fn f(a: i64) -> i64 { a }", "no function of the file"),
            (
                "#[udf] fn f(a: i64) -> i64 { a } #[udf] fn g(a: i64) -> i64 { a }",
                "holds one function",
            ),
            ("#[udf] async fn f(a: i64) -> i64 { a }", "f is async"),
            ("#[udf] fn f() -> i64 { 1 }", "no arguments"),
            (
                "#[udf] fn f(a: Vec<i64>, k: i64) -> i64 { 1 }",
                "some arguments of f are lists",
            ),
            ("#[udf] fn f(a: String) -> i64 { 1 }", "argument 1 of f"),
            ("#[udf] fn f(a: i64) {}", "returns a type"),
            ("#[udf] fn f(a: i64) -> &'static str { \"\" }", "returns a type"),
            ("fn (", "this is no Rust"),
        ] {
            assert!(refused(text).contains(why), "{text}: {}", refused(text));
        }
    }
}
