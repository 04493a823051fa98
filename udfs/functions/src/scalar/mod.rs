//! The common part of all scalar functions: coercion, checks of literals while planning, and rows.

mod arguments;
mod sketches;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(crate) use arguments::Arguments;
pub(crate) use sketches::Sketches;

/// A scalar function of SQL.
pub(crate) trait Function: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The types that the arguments are cast to.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;

    /// The type that comes out.
    fn returns(&self) -> DataType;

    /// Whether NULL can come out although no argument is NULL.
    fn nullable(&self) -> bool {
        false
    }

    /// Whether a row's result depends on that row alone.
    fn volatility(&self) -> Volatility {
        Volatility::Immutable
    }

    /// Refuses literals that can never be right; `None` stands for an argument that is no literal.
    fn check(&self, literals: &[Option<&ScalarValue>]) -> Result<()>;

    /// The results, one a row.
    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef>;

    /// Its page in the manual.
    fn documentation(&self) -> Documentation;
}

/// The DataFusion function of a [`Function`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalar<F> {
    function: F,
    signature: Signature,
    documentation: Documentation,
}

/// The DataFusion function of a function.
pub(crate) fn scalar<F: Function>(function: F) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Scalar {
        function,
        signature: Signature::user_defined(function.volatility()),
        documentation: function.documentation(),
    }))
}

impl<F: Function> ScalarUDFImpl for Scalar<F> {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.coerce(types)?;
        Ok(self.function.returns())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.check(args.scalar_arguments)?;
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = self.function.nullable() || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(
            self.function.name(),
            self.return_type(&types)?,
            nullable,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // A volatile function sees the whole batch even if all its arguments are literals.
        let once = self.function.volatility() != Volatility::Volatile
            && args
                .args
                .iter()
                .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if once { 1 } else { args.number_rows };
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let arguments = Arguments::new(args.args, &self.function.coerce(&types)?, rows)?;
        let result = self.function.evaluate(&arguments)?;
        Ok(if once {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
