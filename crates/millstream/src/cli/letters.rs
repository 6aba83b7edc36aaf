//! Dead letters in words: a table, one whole, and JSON.

use chrono::{DateTime, SecondsFormat};
use millstream::clock::Timestamp;
use millstream::dead_letters::{DeadLetter, Payload};
use millstream::desk;
use millstream::{Error, Result};
use millstream_connectors::render;
use serde_json::{Value, json};

use super::ledger::stage;
use super::table::aligned;

type Numbered = (u64, DeadLetter);

/// One line each.
pub(crate) fn list(letters: &[Numbered]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let row = |(number, letter): &Numbered| {
        let (what, bytes) = desk::describe(&letter.payload);
        vec![
            number.to_string(),
            stage(letter.stage).to_owned(),
            letter.part.clone(),
            letter.id.to_string(),
            moment(letter.arrival),
            what.to_owned(),
            bytes.to_string(),
            printable(&letter.reason).replace('\n', " "),
        ]
    };
    aligned(
        &[">number", "stage", "part", "row", "arrived", "kept", ">bytes", "reason"],
        &letters.iter().map(row).collect::<Vec<_>>(),
    )
}

/// Each whole.
///
/// # Errors
/// `Stop` when a row is not what was written.
pub(crate) fn show(letters: &[Numbered]) -> Result<String> {
    if letters.is_empty() {
        return Ok("no dead letters\n".to_owned());
    }
    let mut out = String::new();
    for (number, letter) in letters {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("dead letter {number}\n"));
        let mut entry =
            |word: &str, text: &str| out.push_str(&format!("  {word:<9}{}\n", printable(text)));
        entry("stage", &format!("{} {}", stage(letter.stage), letter.part));
        entry("row", &letter.id.to_string());
        if !letter.split.is_empty() {
            entry("split", &letter.split);
        }
        entry("arrived", &moment(letter.arrival));
        entry("reason", &letter.reason);
        let (what, bytes) = desk::describe(&letter.payload);
        out.push_str(&format!("  {what}, {bytes} bytes:\n{}\n", printable(&content(letter)?)));
    }
    Ok(out)
}

/// One object a line. `text` is the payload where it is UTF-8, else `hex`; decoded rows are under `value`.
///
/// # Errors
/// `Stop` when a row is not what was written.
pub(crate) fn json(letters: &[Numbered]) -> Result<String> {
    let mut out = String::new();
    for (number, letter) in letters {
        let (what, _) = desk::describe(&letter.payload);
        let mut object = json!({
            "number": number,
            "stage": letter.stage,
            "part": letter.part,
            "row": letter.id.to_string(),
            "split": letter.split,
            "arrived": moment(letter.arrival),
            "reason": letter.reason,
            "kept": what,
        });
        let (key, value) = match &letter.payload {
            Payload::Record(bytes) | Payload::Row(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => ("text", Value::from(text)),
                Err(_) => ("hex", Value::from(hex(bytes))),
            },
            Payload::Arrow(_) => {
                let value = serde_json::from_str(&content(letter)?)
                    .map_err(|e| Error::stop("a dead row cannot be written as JSON").because(e))?;
                ("value", value)
            }
        };
        if let Some(map) = object.as_object_mut() {
            map.insert(key.to_owned(), value);
        }
        out.push_str(&format!("{object}\n"));
    }
    Ok(out)
}

/// The payload as text.
fn content(letter: &DeadLetter) -> Result<String> {
    match (&letter.payload, letter.batch()?) {
        (_, Some(batch)) => Ok(render::row_json(&batch, 0)),
        (Payload::Record(bytes) | Payload::Row(bytes) | Payload::Arrow(bytes), None) => {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn moment(at: Timestamp) -> String {
    DateTime::from_timestamp_micros(at.0)
        .map_or_else(|| at.0.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// What came from outside must not drive the terminal: control characters are shown, not sent.
fn printable(text: &str) -> String {
    let show = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use millstream::codec::RowId;
    use millstream::ledger::Stage;
    use millstream::record::Offset;

    use super::*;

    fn letter(payload: Payload) -> Numbered {
        let letter = DeadLetter {
            stage: Stage::Decode,
            part: "readings".into(),
            id: RowId { offset: Offset(7), record: 0, row: 2 },
            reason: "column `value`: \"warm\" is no float64".into(),
            split: "http://a/".into(),
            arrival: Timestamp(1_763_880_000_000_000),
            payload,
        };
        (3, letter)
    }

    #[test]
    fn a_letter_shows_its_bytes_and_never_drives_the_terminal() {
        let row = letter(Payload::Row("{\"value\":\"warm\u{1b}[2J\"}".into()));
        assert_eq!(
            show(&[row]).unwrap(),
            "\
dead letter 3
  stage    decode readings
  row      7/0/2
  split    http://a/
  arrived  2025-11-23T06:40:00.000Z
  reason   column `value`: \"warm\" is no float64
  row, 20 bytes:
{\"value\":\"warm\\u{1b}[2J\"}
"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_hexadecimal_in_json() {
        let text = json(&[letter(Payload::Record(vec![0xff, 0x00].into()))]).unwrap();
        assert!(text.contains("\"hex\":\"ff00\""), "{text}");
        assert!(list(&[]).contains("no dead letters"));
    }
}
