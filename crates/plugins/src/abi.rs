//! Arroyo's interface of plugins (`arroyo-udf-plugin` 0.2): the layout of what is passed, and who frees it.
//!
//! `__run` takes a vector of columns by its parts, frees it, and releases each column through the callback that came with it
//! (ours). It gives back one column, which is released through a callback of the plugin. That a plugin panicked is a value, not an
//! unwinding. The library is never unloaded: columns that came out of it may live on.
#![allow(unsafe_code)]

use crate::Fault;
use arrow::array::{Array, ArrayRef, make_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use datafusion_common::{Result, exec_datafusion_err};
use libloading::Library;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::path::Path;

/// A column with its type.
#[repr(C)]
struct Column(FFI_ArrowArray, FFI_ArrowSchema);

/// A vector of columns by its parts.
#[repr(C)]
struct Columns {
    pointer: *mut Column,
    length: usize,
    capacity: usize,
    error: bool,
}

/// What a call gives.
#[repr(C)]
#[allow(dead_code)] // made by the plugin alone
enum Outcome {
    Ok(Column),
    Err,
}

type Run = unsafe extern "C-unwind" fn(Columns) -> Outcome;

/// A loaded plugin. Two are the same if they were compiled from the same text.
#[derive(Debug)]
pub(crate) struct Code {
    name: String,
    identity: String,
    run: Run,
    _library: ManuallyDrop<Library>,
}

impl Code {
    pub(crate) fn load(library: &Path, name: &str, identity: String) -> Result<Self, Fault> {
        let wrong = |error: libloading::Error| {
            Fault::new(format!("the compiled function {name} does not load: {error}"))
                .hint("it needs #[udf] of arroyo-udf-plugin, or a function __run of its own")
        };
        // SAFETY: loading runs the initialisers of a library that was compiled from the user's own text, which is as trusted
        // as the pipeline that names it. `__run` has this type in every version of the interface that the compiler is told
        // to take (0.2); a hand-written one that has another breaks Arroyo as well.
        unsafe {
            let loaded = Library::new(library).map_err(wrong)?;
            let run = *loaded.get::<Run>(b"__run\0").map_err(wrong)?;
            Ok(Self {
                name: name.to_string(),
                identity,
                run,
                _library: ManuallyDrop::new(loaded),
            })
        }
    }

    /// Calls the function with columns of one length.
    pub(crate) fn call(&self, arguments: &[ArrayRef], result: &DataType) -> Result<ArrayRef> {
        let mut columns = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let (array, schema) = to_ffi(&outside(argument)?.to_data())?;
            columns.push(Column(array, schema));
        }
        let mut columns = ManuallyDrop::new(columns);
        let parts = Columns {
            pointer: columns.as_mut_ptr(),
            length: columns.len(),
            capacity: columns.capacity(),
            error: false,
        };
        // SAFETY: the parts are those of a vector that is not touched again here; the plugin makes it a vector and frees it,
        // with the allocator that both share (see the crate). The columns are C data of Arrow, whose layout no version changes.
        let outcome = unsafe { (self.run)(parts) };
        let Outcome::Ok(Column(array, schema)) = outcome else {
            return Err(exec_datafusion_err!(
                "the function {} panicked; its own message stands above",
                self.name
            ));
        };
        // SAFETY: the plugin exported it by the same interface and gave it away.
        let data = unsafe { from_ffi(array, &schema)? };
        let column = make_array(data);
        if column.data_type() != &exported(result) {
            return Err(exec_datafusion_err!(
                "the function {} gave {} where its declaration says {result}",
                self.name,
                column.data_type()
            ));
        }
        Ok(cast(&column, result)?)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Arroyo's text and bytes are the plain ones, not views.
fn exported(inside: &DataType) -> DataType {
    match inside {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

fn outside(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(column, &exported(column.data_type()))?)
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Code {}

impl Hash for Code {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}
