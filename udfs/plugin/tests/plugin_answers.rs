//! Plugins, compiled as Arroyo compiles them and called as Arroyo calls them, against the functions of the embedded engine.
//!
//! One cargo package outside of the workspace holds them all, so that Arrow is compiled once for them. `make test` builds one
//! function of each kind, HITTERS_PLUGINS=all (`make test-plugins`) every one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, StringArray, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{Column, Literal};
use hitters_sketch::{CountMin, ItemKind, Items, Measure, Rows, TopK};

/// One of each kind: over a batch, over a group, row by row.
const SOME: [&str; 3] = ["approx_top_k_combine", "approx_top_k_estimate", "approx_top_sum_batch"];

fn built() -> &'static BTreeMap<&'static str, Plugin> {
    static BUILT: OnceLock<BTreeMap<&'static str, Plugin>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let all = std::env::var("HITTERS_PLUGINS").is_ok_and(|which| which == "all");
        let names: Vec<&str> = hitters_plugin::functions()
            .filter(|name| all || SOME.contains(name))
            .collect();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
        compile(&folder, &names);
        names
            .into_iter()
            .map(|name| (name, Plugin::load(&folder, name)))
            .collect()
    })
}

/// A package with each function as an example: examples may be libraries, and share their dependencies.
fn compile(folder: &Path, names: &[&str]) {
    std::fs::create_dir_all(folder.join("examples")).unwrap();
    let mut manifest = "[package]\nname = \"plugins\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\narroyo-udf-plugin = \"^0.2.0\"\n[profile.dev]\nopt-level = 1\ndebug = false\n"
        .to_owned();
    std::fs::write(folder.join("lib.rs"), "").unwrap();
    for name in names {
        manifest.push_str(&format!("[[example]]\nname = \"{name}\"\ncrate-type = [\"cdylib\"]\n"));
        let path = folder.join(format!("examples/{name}.rs"));
        let text = hitters_plugin::bundle(name).unwrap();
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&*text) {
            std::fs::write(path, text).unwrap();
        }
    }
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo
        .arg("build")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    for name in names {
        cargo.args(["--example", name]);
    }
    let output = cargo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

#[repr(C)]
struct FfiColumn(FFI_ArrowArray, FFI_ArrowSchema);

#[repr(C)]
struct FfiColumns {
    first: *mut FfiColumn,
    length: usize,
    capacity: usize,
    error: bool,
}

#[repr(C)]
#[allow(clippy::large_enum_variant, dead_code)] // The other side makes it.
enum FfiResult {
    Ok(FfiColumn),
    Err,
}

/// A library that stays loaded.
struct Plugin {
    run: unsafe extern "C-unwind" fn(FfiColumns) -> FfiResult,
}

impl Plugin {
    fn load(folder: &Path, name: &str) -> Self {
        let file = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let path: PathBuf = folder.join("target/debug/examples").join(file);
        // SAFETY: the library is the one that was just built from our own sources; it runs nothing when it is loaded.
        let library = Box::leak(Box::new(unsafe { libloading::Library::new(path) }.unwrap()));
        // SAFETY: `__run` has this type in arroyo-udf-common 0.2, whose FfiArrays and RunResult are laid out as above.
        let run = unsafe { library.get::<unsafe extern "C-unwind" fn(FfiColumns) -> FfiResult>(b"__run\0") };
        Self { run: *run.unwrap() }
    }

    fn call(&self, arguments: &[ArrayRef]) -> ArrayRef {
        let columns: Vec<FfiColumn> = arguments
            .iter()
            .map(|array| to_ffi(&array.to_data()).unwrap())
            .map(|(array, schema)| FfiColumn(array, schema))
            .collect();
        let (length, capacity) = (columns.len(), columns.capacity());
        let columns = FfiColumns {
            first: columns.leak().as_mut_ptr(),
            length,
            capacity,
            error: false,
        };
        // SAFETY: the plugin takes the vector over and frees it, with the same allocator.
        match unsafe { (self.run)(columns) } {
            // SAFETY: array and schema belong together.
            FfiResult::Ok(FfiColumn(array, schema)) => make_array(unsafe { from_ffi(array, &schema) }.unwrap()),
            FfiResult::Err => panic!("the plugin could not read its columns"),
        }
    }
}

/// An argument of a call.
#[derive(Clone)]
enum Argument {
    Column(ArrayRef),
    Literal(ScalarValue),
}

fn column(array: impl Array + 'static) -> Argument {
    Argument::Column(Arc::new(array))
}

fn literal(value: impl Into<ScalarValue>) -> Argument {
    Argument::Literal(value.into())
}

fn rows(arguments: &[Argument]) -> usize {
    let mut lengths = arguments.iter().filter_map(|argument| match argument {
        Argument::Column(array) => Some(array.len()),
        Argument::Literal(_) => None,
    });
    lengths.next().unwrap_or(1)
}

/// Literals come as columns, as in Arroyo.
fn spread(arguments: &[Argument]) -> Vec<ArrayRef> {
    let rows = rows(arguments);
    let spread = arguments.iter().map(|argument| match argument {
        Argument::Column(array) => array.clone(),
        Argument::Literal(value) => value.to_array_of_size(rows).unwrap(),
    });
    spread.collect()
}

/// What the embedded engine gives: one row of an aggregate, or all rows of a scalar.
fn embedded(name: &str, arguments: &[Argument]) -> ArrayRef {
    let aggregates = hitters_functions::aggregate_functions();
    let types: Vec<DataType> = spread(arguments)
        .iter()
        .map(|array| array.data_type().clone())
        .collect();
    if let Some(function) = aggregates.into_iter().find(|function| function.name() == name) {
        let fields: Vec<Field> = types
            .iter()
            .enumerate()
            .map(|(number, of)| Field::new(format!("c{number}"), of.clone(), true))
            .collect();
        let expressions = arguments
            .iter()
            .enumerate()
            .map(|(number, argument)| -> Arc<dyn PhysicalExpr> {
                match argument {
                    Argument::Column(_) => Arc::new(Column::new(&format!("c{number}"), number)),
                    Argument::Literal(value) => Arc::new(Literal::new(value.clone())),
                }
            });
        let call = AggregateExprBuilder::new(function, expressions.collect())
            .schema(Arc::new(Schema::new(fields)))
            .alias("call")
            .build()
            .unwrap();
        let mut accumulator = call.create_accumulator().unwrap();
        accumulator.update_batch(&spread(arguments)).unwrap();
        return accumulator.evaluate().unwrap().to_array().unwrap();
    }
    let scalars = hitters_functions::scalar_functions();
    let function = scalars.into_iter().find(|function| function.name() == name).unwrap();
    let rows = rows(arguments);
    let fields = types.iter().map(|of| Arc::new(Field::new("c", of.clone(), true)));
    let given = arguments.iter().map(|argument| match argument {
        Argument::Column(array) => ColumnarValue::Array(array.clone()),
        Argument::Literal(value) => ColumnarValue::Scalar(value.clone()),
    });
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: given.collect(),
        arg_fields: fields.collect(),
        number_rows: rows,
        return_field: Arc::new(Field::new("r", function.return_type(&types).unwrap(), true)),
        config_options: Arc::new(ConfigOptions::default()),
    });
    result.unwrap().into_array(rows).unwrap()
}

/// Text and bytes alike, as bytes.
fn values(array: &ArrayRef) -> Vec<Option<Vec<u8>>> {
    if let Some(integers) = array.as_primitive_opt::<Int64Type>() {
        return integers
            .iter()
            .map(|value| value.map(|v| v.to_string().into_bytes()))
            .collect();
    }
    let bytes = cast(array, &DataType::Binary).unwrap();
    bytes
        .as_binary::<i32>()
        .iter()
        .map(|value| value.map(<[u8]>::to_vec))
        .collect()
}

/// Rows with NULLs, in an order that a simple generator decides.
fn items(rows: usize, distinct: u64) -> StringArray {
    let mut state = 88_172_645_463_325_252_u64;
    (0..rows)
        .map(|row| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let item = (state % distinct) * (state >> 40) % distinct;
            let long = if item % 3 == 0 { "a rather long item " } else { "i" };
            (row % 11 != 3).then(|| format!("{long}{item}"))
        })
        .collect()
}

fn weights(rows: usize) -> Int64Array {
    (0..rows as i64)
        .map(|row| (row % 7 != 5).then_some(row * 37 % 1000 - 20))
        .collect()
}

fn bins(rows: usize) -> StringArray {
    (0..rows)
        .map(|row| (row % 50 != 49).then(|| format!("{}|region={}", row / 300, row % 4)))
        .collect()
}

fn sketch(rows: usize, distinct: u64) -> TopK {
    let items = items(rows, distinct);
    let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 64).unwrap();
    let all = Items::Offsets {
        offsets: items.value_offsets(),
        bytes: items.value_data(),
    };
    sketch.update_batch(all, Rows::All(0..rows), None);
    sketch
}

fn table(rows: usize) -> CountMin {
    let items = items(rows, 500);
    let mut table = CountMin::new(ItemKind::Text, 0.01, 0.05).unwrap();
    let all = Items::Offsets {
        offsets: items.value_offsets(),
        bytes: items.value_data(),
    };
    table.update_batch(all, Rows::All(0..rows), None);
    table
}

/// Calls that both engines answer.
fn calls() -> Vec<(&'static str, Vec<Argument>)> {
    let sketches = [sketch(4000, 3000), sketch(300, 20), sketch(1, 1)].map(|sketch| Some(sketch.to_bytes()));
    let sketches: BinaryArray = sketches.into_iter().chain([None]).collect();
    let tables: BinaryArray = [table(4000), table(10)]
        .map(|table| Some(table.to_bytes()))
        .into_iter()
        .chain([None])
        .collect();
    let asked = StringArray::from(vec![Some("i7"), Some("a rather long item 3"), None, Some("never seen")]);
    let mut calls = Vec::new();
    for (rows, distinct) in [(1, 1), (2000, 40), (5000, 4000)] {
        let (items, weights, bins) = (column(items(rows, distinct)), column(weights(rows)), column(bins(rows)));
        for (count, sum, last) in [
            ("approx_top_k", "approx_top_sum", 12_i64),
            ("approx_top_k_accumulate", "approx_top_sum_accumulate", 48),
        ] {
            calls.push((count, vec![items.clone(), literal(last)]));
            calls.push((sum, vec![items.clone(), weights.clone(), literal(last)]));
        }
        calls.push(("approx_top_k_batch", vec![items.clone(), bins.clone(), literal(32_i64)]));
        calls.push((
            "approx_top_sum_batch",
            vec![items.clone(), weights, bins, literal(32_i64)],
        ));
        calls.push(("count_min_accumulate", vec![items, literal(0.01), literal(0.1)]));
    }
    let ks = Int64Array::from(vec![Some(5), Some(64), None, Some(1)]);
    let phis = Float64Array::from(vec![Some(0.001), Some(0.3), None, Some(0.5)]);
    calls.extend([
        ("approx_top_k_combine", vec![column(sketches.clone())]),
        ("approx_top_k_estimate", vec![column(sketches.clone()), column(ks)]),
        ("approx_top_k_estimate", vec![column(sketches.clone()), literal(10_i64)]),
        ("approx_heavy_hitters", vec![column(sketches.clone()), column(phis)]),
        ("approx_count_estimate", vec![column(sketches), column(asked.clone())]),
        ("count_min_combine", vec![column(tables.clone())]),
        ("count_min_estimate", vec![column(tables), column(asked.slice(0, 3))]),
        (
            "approx_max_items",
            vec![
                literal(0.01),
                column(Float64Array::from(vec![Some(0.05), None, Some(0.5)])),
            ],
        ),
    ]);
    calls
}

#[test]
fn plugins_answer_as_the_embedded_engine() {
    let mut compared = 0;
    for (name, arguments) in calls() {
        let Some(plugin) = built().get(name) else { continue };
        let answer = values(&plugin.call(&spread(&arguments)));
        let expected = values(&embedded(name, &arguments));
        assert_eq!(answer.len(), expected.len(), "{name}");
        for (row, (answer, expected)) in answer.iter().zip(&expected).enumerate() {
            let text = |value: &Option<Vec<u8>>| value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned());
            assert!(
                answer == expected,
                "{name}, row {row}: {:?}\nis not {:?}",
                text(answer),
                text(expected)
            );
        }
        compared += 1;
    }
    assert!(compared >= built().len());
}

/// Columns that are slices begin in the middle of their buffers.
#[test]
fn slices_count_their_own_rows() {
    for name in ["approx_top_k_accumulate", "approx_top_k_batch", "approx_top_sum_batch"] {
        let Some(plugin) = built().get(name) else { continue };
        let whole = calls().into_iter().rfind(|(called, _)| *called == name).unwrap().1;
        let cut: Vec<Argument> = whole
            .into_iter()
            .map(|argument| match argument {
                Argument::Column(array) => Argument::Column(array.slice(777, 1001)),
                literal => literal,
            })
            .collect();
        assert!(
            values(&plugin.call(&spread(&cut))) == values(&embedded(name, &cut)),
            "{name}"
        );
    }
}

#[test]
fn nothing_hostile_panics() {
    let bytes = sketch(4000, 3000).to_bytes();
    let mut hostile: Vec<Vec<u8>> = (0..bytes.len()).step_by(97).map(|end| bytes[..end].to_vec()).collect();
    hostile.extend((0..bytes.len()).step_by(31).map(|at| {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        changed
    }));
    hostile.push(b"no sketch at all".to_vec());
    let sketches: BinaryArray = hostile.iter().map(Some).collect();
    let rows = sketches.len();
    let ks: Int64Array = (0..rows as i64)
        .map(|row| [Some(10), Some(0), Some(-1), Some(i64::MAX), None][row as usize % 5])
        .collect();
    for (name, second) in [
        ("approx_top_k_estimate", Some(column(ks))),
        ("approx_heavy_hitters", Some(literal(f64::NAN))),
        ("approx_count_estimate", Some(literal("i7"))),
        ("count_min_estimate", Some(literal("i7"))),
        ("approx_top_k_combine", None),
        ("count_min_combine", None),
    ] {
        let Some(plugin) = built().get(name) else { continue };
        let arguments: Vec<Argument> = [Some(column(sketches.clone())), second].into_iter().flatten().collect();
        let answers = values(&plugin.call(&spread(&arguments)));
        if arguments.len() == 1 {
            assert_eq!(answers, [None], "{name}");
            continue;
        }
        assert_eq!(answers.len(), rows);
        for answer in answers.iter().flatten() {
            let json: serde_json::Value = serde_json::from_slice(answer).unwrap();
            let error = json.get("error").and_then(|error| error.as_str());
            assert!(
                json.get("error").is_none() || error.unwrap().starts_with(&format!("{name}: ")),
                "{json}"
            );
        }
        let last: serde_json::Value =
            serde_json::from_slice(answers[rows - 1].as_ref().unwrap_or(&b"{\"error\":\"\"}".to_vec())).unwrap();
        assert!(last["error"].is_string(), "{name}");
    }
}

#[test]
fn a_capacity_of_zero_gives_null_or_an_error() {
    let (items, weights, bins) = (column(items(100, 10)), column(weights(100)), column(bins(100)));
    for wrong in [Some(0_i64), Some(-5), Some(i64::MAX), None] {
        let last = Argument::Literal(ScalarValue::Int64(wrong));
        for (name, arguments) in [
            ("approx_top_k", vec![items.clone(), last.clone()]),
            ("approx_top_sum", vec![items.clone(), weights.clone(), last.clone()]),
            ("approx_top_k_accumulate", vec![items.clone(), last.clone()]),
            (
                "approx_top_sum_accumulate",
                vec![items.clone(), weights.clone(), last.clone()],
            ),
            ("approx_top_k_batch", vec![items.clone(), bins.clone(), last.clone()]),
            (
                "approx_top_sum_batch",
                vec![items.clone(), weights.clone(), bins.clone(), last.clone()],
            ),
        ] {
            let Some(plugin) = built().get(name) else { continue };
            let answers = values(&plugin.call(&spread(&arguments)));
            for answer in answers {
                match answer {
                    Some(text) => assert!(text.starts_with(b"{\"format\":1,\"error\":\""), "{name}"),
                    None => assert!(name.ends_with("_accumulate") || name.ends_with("_batch"), "{name}"),
                }
            }
        }
    }
}
