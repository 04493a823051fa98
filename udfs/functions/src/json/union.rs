//! Values of any JSON kind in one Arrow column: the sparse union that `json_get` returns, its text, and scalars as such a union.
//!
//! The union's type is that of the crate `datafusion-functions-json`, so that a plan of Arroyo and one of ours agree. SQL's NULL and JSON's are the same
//! row: kind 0, with every member NULL.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, NullArray, StringBuilder,
    StringViewBuilder, UnionArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, UnionFields, UnionMode};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::argument::{plan_error, run_error};

const NULL: i8 = 0;
const BOOL: i8 = 1;
const INT: i8 = 2;
const FLOAT: i8 = 3;
const TEXT: i8 = 4;
const ARRAY: i8 = 5;
const OBJECT: i8 = 6;

static FIELDS: LazyLock<UnionFields> = LazyLock::new(|| {
    let field = |id, name, of, nullable| (id, Arc::new(Field::new(name, of, nullable)));
    let json = |id, name| {
        let field = Field::new(name, DataType::Utf8, false);
        (id, Arc::new(field.with_metadata(metadata())))
    };
    UnionFields::from_iter([
        field(NULL, "null", DataType::Null, true),
        field(BOOL, "bool", DataType::Boolean, false),
        field(INT, "int", DataType::Int64, false),
        field(FLOAT, "float", DataType::Float64, false),
        field(TEXT, "str", DataType::Utf8, false),
        json(ARRAY, "array"),
        json(OBJECT, "object"),
    ])
});

static TYPE: LazyLock<DataType> = LazyLock::new(|| DataType::Union(FIELDS.clone(), UnionMode::Sparse));

/// The type of the union.
pub(crate) fn json_union() -> &'static DataType {
    &TYPE
}

/// Says of a field that its text is JSON: Arrow's canonical extension type, and the key of before that.
pub(super) fn metadata() -> HashMap<String, String> {
    let entries = [
        ("ARROW:extension:name", "arrow.json"),
        ("ARROW:extension:metadata", "{}"),
        ("is_json", "true"),
    ];
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A value of the union.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// As JSON text.
    Array(&'a str),
    /// As JSON text.
    Object(&'a str),
}

/// Builds a column of the union.
#[derive(Debug, Default)]
pub(super) struct UnionBuilder {
    ids: Vec<i8>,
    bools: BooleanBuilder,
    ints: Int64Builder,
    floats: Float64Builder,
    texts: StringBuilder,
    arrays: StringBuilder,
    objects: StringBuilder,
}

impl UnionBuilder {
    pub fn append(&mut self, value: Value<'_>) {
        let (mut bool, mut int, mut float, mut text, mut array, mut object) = (None, None, None, None, None, None);
        self.ids.push(match value {
            Value::Null => NULL,
            Value::Bool(value) => (bool = Some(value), BOOL).1,
            Value::Int(value) => (int = Some(value), INT).1,
            Value::Float(value) => (float = Some(value), FLOAT).1,
            Value::Text(value) => (text = Some(value), TEXT).1,
            Value::Array(value) => (array = Some(value), ARRAY).1,
            Value::Object(value) => (object = Some(value), OBJECT).1,
        });
        self.bools.append_option(bool);
        self.ints.append_option(int);
        self.floats.append_option(float);
        self.texts.append_option(text);
        self.arrays.append_option(array);
        self.objects.append_option(object);
    }

    pub fn finish(mut self) -> Result<ArrayRef> {
        let members: Vec<ArrayRef> = vec![
            Arc::new(NullArray::new(self.ids.len())),
            Arc::new(self.bools.finish()),
            Arc::new(self.ints.finish()),
            Arc::new(self.floats.finish()),
            Arc::new(self.texts.finish()),
            Arc::new(self.arrays.finish()),
            Arc::new(self.objects.finish()),
        ];
        Ok(Arc::new(UnionArray::try_new(
            FIELDS.clone(),
            self.ids.into(),
            None,
            members,
        )?))
    }
}

/// The nested values of a column of the union as JSON text: its objects, or its arrays.
pub(super) fn nested(column: &ArrayRef, objects: bool) -> Option<&ArrayRef> {
    let union = column.as_any().downcast_ref::<UnionArray>()?;
    (union.data_type() == json_union()).then(|| union.child(if objects { OBJECT } else { ARRAY }))
}

/// The same of a scalar, whichever of the two it is.
pub(super) fn nested_scalar<'a>(value: Option<&'a (i8, Box<ScalarValue>)>, fields: &UnionFields) -> Option<&'a str> {
    let (id, value) = value?;
    if *fields != *FIELDS || ![ARRAY, OBJECT].contains(id) {
        return None;
    }
    value.try_as_str().flatten()
}

/// Whether a row of the union is NULL.
pub(super) fn is_null(union: &UnionArray, row: usize) -> bool {
    union.type_id(row) == NULL
}

fn value(union: &UnionArray, row: usize) -> Value<'_> {
    let member = union.child(union.type_id(row));
    match union.type_id(row) {
        BOOL => Value::Bool(member.as_boolean().value(row)),
        INT => Value::Int(member.as_primitive::<Int64Type>().value(row)),
        FLOAT => Value::Float(member.as_primitive::<Float64Type>().value(row)),
        TEXT => Value::Text(member.as_string::<i32>().value(row)),
        ARRAY => Value::Array(member.as_string::<i32>().value(row)),
        OBJECT => Value::Object(member.as_string::<i32>().value(row)),
        _ => Value::Null,
    }
}

/// `json_union_to_text`: the union as JSON text, so that it can go where no union can.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToText(Signature);

impl ToText {
    const NAME: &str = "json_union_to_text";

    pub fn new() -> Self {
        ToText(Signature::exact(vec![json_union().clone()], Volatility::Immutable))
    }
}

impl ScalarUDFImpl for ToText {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [of] if of == json_union() => Ok(DataType::Utf8View),
            _ => Err(plan_error(Self::NAME, "takes one argument, what json_get returns")),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(Self::NAME, self.return_type(&types)?, true);
        Ok(Arc::new(field.with_metadata(metadata())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let union = columns
            .first()
            .and_then(|column| column.as_any().downcast_ref::<UnionArray>());
        let Some(union) = union.filter(|union| union.data_type() == json_union()) else {
            return Err(run_error(Self::NAME, "the argument is not what json_get returns"));
        };
        let rows = if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) {
            1
        } else {
            union.len()
        };
        let mut texts = StringViewBuilder::with_capacity(args.number_rows);
        let mut one = |row| -> serde_json::Result<()> {
            match value(union, row) {
                Value::Null => texts.append_null(),
                Value::Bool(value) => texts.append_value(if value { "true" } else { "false" }),
                Value::Int(value) => texts.append_value(value.to_string()),
                Value::Float(value) => texts.append_value(serde_json::to_string(&value)?),
                Value::Text(value) => texts.append_value(serde_json::to_string(value)?),
                Value::Array(value) | Value::Object(value) => texts.append_value(value),
            }
            Ok(())
        };
        for row in 0..rows {
            one(row).map_err(|error| run_error(Self::NAME, error))?;
        }
        let texts: ArrayRef = Arc::new(texts.finish());
        let scalar = rows == 1 && args.number_rows != 1;
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?)
        } else {
            ColumnarValue::Array(texts)
        })
    }
}

/// `json_from_scalar`: a value of SQL as the union.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FromScalar {
    signature: Signature,
    aliases: [String; 1],
}

impl FromScalar {
    const NAME: &str = "json_from_scalar";

    pub fn new() -> Self {
        FromScalar {
            signature: Signature::any(1, Volatility::Immutable),
            aliases: ["scalar_to_json".to_owned()],
        }
    }

    /// The type that the members of the union have for a type of SQL.
    fn member(of: &DataType) -> Option<DataType> {
        use DataType::*;
        Some(match of {
            Null | Boolean => of.clone(),
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => Int64,
            Float32 | Float64 => Float64,
            Utf8 | LargeUtf8 | Utf8View => Utf8View,
            _ => return None,
        })
    }

    fn column(column: &ArrayRef) -> Result<ArrayRef> {
        let Some(member) = Self::member(column.data_type()) else {
            return Err(run_error(
                Self::NAME,
                format!("{} is no type of JSON", column.data_type()),
            ));
        };
        // An integer that BIGINT cannot hold is an error.
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let column = cast_with_options(column, &member, &options)?;
        let mut union = UnionBuilder::default();
        for row in 0..column.len() {
            union.append(match member {
                _ if column.is_null(row) => Value::Null,
                DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
                DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
                DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
                DataType::Utf8View => Value::Text(column.as_string_view().value(row)),
                _ => Value::Null,
            });
        }
        union.finish()
    }
}

impl ScalarUDFImpl for FromScalar {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [of] if Self::member(of).is_some() => Ok(json_union().clone()),
            [of] => Err(plan_error(Self::NAME, format!("{of} is no type of JSON"))),
            _ => Err(plan_error(Self::NAME, "takes one argument")),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(column)] => Ok(ColumnarValue::Array(Self::column(column)?)),
            [ColumnarValue::Scalar(value)] => {
                let union = Self::column(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&union, 0)?))
            }
            _ => Err(run_error(Self::NAME, "takes one argument")),
        }
    }
}
