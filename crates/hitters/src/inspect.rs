//! `hitters sketch inspect`: what is in the bytes of a sketch.

use crate::cli::Inspect;
use crate::failure::Failure;
use crate::show;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use hitters_results::Answer;
use hitters_sketch::TopK;
use std::io::{Read, Write, stdin, stdout};
use std::path::Path;

/// Items shown if nobody says how many.
const ITEMS: usize = 20;

/// Sketches grow to some megabytes; what is larger is another file.
const MAX_INPUT: u64 = 1 << 30;

/// Runs the command.
pub fn run(arguments: &Inspect) -> Result<(), Failure> {
    let input = read(&arguments.sketch)?;
    let (bytes, written_as) = decode(input);
    let sketch = TopK::from_bytes(&bytes).map_err(|error| {
        Failure::Run(format!(
            "these {} bytes ({written_as}) are no sketch: {error}",
            bytes.len()
        ))
    })?;
    let k = arguments.k.unwrap_or(ITEMS.min(sketch.capacity()));
    let answer = sketch
        .answer(k)
        .map_err(|error| Failure::Usage(error.to_string()))?
        .to_json();
    let mut out = stdout().lock();
    if arguments.json {
        writeln!(out, "{answer}")?;
        return Ok(());
    }
    let answer = Answer::parse(&answer).map_err(|error| Failure::Run(error.to_string()))?;
    writeln!(out, "{}", describe(&sketch, bytes.len(), written_as))?;
    write!(out, "{}", show::answers(&[("", answer)]))?;
    Ok(())
}

fn describe(sketch: &TopK, bytes: usize, written_as: &str) -> String {
    format!(
        "{} bytes ({written_as}), {} in memory; items: {:?}, measure: {}, capacity: {}",
        show::thousands(bytes as u128),
        show::thousands(sketch.size_bytes() as u128),
        sketch.kind(),
        sketch.measure(),
        show::thousands(sketch.capacity() as u128),
    )
}

/// A file, standard input, or the argument itself.
fn read(source: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if source == "-" {
        let read = stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes);
        read.map_err(|error| Failure::Usage(format!("cannot read standard input: {error}")))?;
        return Ok(bytes);
    }
    if Path::new(source).exists() {
        let file = std::fs::File::open(source);
        let read = file.and_then(|file| file.take(MAX_INPUT).read_to_end(&mut bytes));
        read.map_err(|error| Failure::Usage(format!("cannot read {source}: {error}")))?;
        return Ok(bytes);
    }
    Ok(source.as_bytes().to_vec())
}

/// The bytes behind hex or base64 text (padding, quotes and white space do not matter), or the input as it is.
fn decode(input: Vec<u8>) -> (Vec<u8>, &'static str) {
    let Ok(text) = std::str::from_utf8(&input) else {
        return (input, "raw");
    };
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
    let hex = text.strip_prefix("0x").or(text.strip_prefix("\\x")).unwrap_or(&text);
    if !hex.is_empty() && hex.len().is_multiple_of(2) && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
        return (
            hex.as_bytes()
                .chunks_exact(2)
                .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
                .collect(),
            "hex",
        );
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) {
        base64::alphabet::URL_SAFE
    } else {
        base64::alphabet::STANDARD
    };
    match GeneralPurpose::new(&alphabet, lenient).decode(&text) {
        Ok(bytes) if !bytes.is_empty() => (bytes, "base64"),
        _ => (input, "raw"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitters_sketch::{ItemKind, Measure};

    #[test]
    fn hex_base64_and_raw_bytes_are_told_apart() {
        let mut sketch = TopK::new(ItemKind::Text, Measure::Count, 16).unwrap();
        sketch.update(b"page", 3);
        let bytes = sketch.to_bytes();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let base64 = base64::prelude::BASE64_STANDARD.encode(&bytes);
        for (input, name) in [
            (bytes.clone(), "raw"),
            (format!("0x{hex}\n").into_bytes(), "hex"),
            (hex.to_uppercase().into_bytes(), "hex"),
            (format!("\"{base64}\"").into_bytes(), "base64"),
            (base64.trim_end_matches('=').as_bytes().to_vec(), "base64"),
        ] {
            assert_eq!(decode(input), (bytes.clone(), name));
        }
    }
}
