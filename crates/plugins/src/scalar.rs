//! A plugin that gives a value for each row.

use crate::abi::Code;
use crate::signature::Signature;
use arrow::array::{Array, new_empty_array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature as SqlSignature, Volatility};
use std::sync::Arc;

/// A scalar function. Volatile, as on Arroyo: nobody knows what a plugin does.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hosted {
    signature: SqlSignature,
    result: DataType,
    code: Arc<Code>,
}

impl Hosted {
    pub(crate) fn new(signature: Signature, code: Arc<Code>) -> Self {
        Self {
            signature: SqlSignature::exact(signature.arguments, Volatility::Volatile),
            result: signature.result,
            code,
        }
    }
}

impl ScalarUDFImpl for Hosted {
    fn name(&self) -> &str {
        self.code.name()
    }
    fn signature(&self) -> &SqlSignature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&self.result)));
        }
        let columns = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let result = self.code.call(&columns, &self.result)?;
        if result.len() != rows {
            return exec_err!(
                "the function {} gave {} values for {rows} rows",
                self.name(),
                result.len()
            );
        }
        Ok(ColumnarValue::Array(result))
    }
}
