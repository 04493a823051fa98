use super::*;
use crate::{Factory, RunOptions};
use arrow::array::{Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use hitters_dataflow::sink::SinkFactory;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("item", DataType::Utf8View, true),
        Field::new("count", DataType::Int64, false),
    ]);
    let items = StringViewArray::from_iter([Some("a"), None]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(items), Arc::new(Int64Array::from(vec![5, 12]))],
    )
    .unwrap()
}

fn printed(format: PrintFormat, bounded: bool) -> (String, String) {
    let output = Shared::default();
    let run = RunOptions {
        bounded,
        print: Print::new(format, output.clone()),
        ..RunOptions::default()
    };
    let mut sink = Factory::new(run).unwrap().open(None, batch().schema()).unwrap();
    sink.write(&batch()).unwrap();
    sink.flush().unwrap();
    let text = |output: &Shared| String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    let flushed = text(&output);
    sink.close().unwrap();
    (flushed, text(&output))
}

#[test]
fn json_lines_appear_at_the_flush() {
    let (flushed, closed) = printed(PrintFormat::Json, true);
    assert_eq!(flushed, "{\"item\":\"a\",\"count\":5}\n{\"item\":null,\"count\":12}\n");
    assert_eq!(flushed, closed);
}

#[test]
fn a_table_comes_at_the_end_of_a_bounded_run_and_at_each_flush_of_an_endless_one() {
    let expected =
        "┌──────┬───────┐\n│ item ┆ count │\n╞══════╪═══════╡\n│ a    ┆     5 │\n│      ┆    12 │\n└──────┴───────┘\n";
    assert_eq!(printed(PrintFormat::Table, true), (String::new(), expected.into()));
    assert_eq!(printed(PrintFormat::Table, false), (expected.into(), expected.into()));
}
