//! Stderr: whole lines of text and logs, and below them, on a terminal, one line that is redrawn.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use millstream_engine::config::Secrets;
use parking_lot::Mutex;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// Goes to the line's begin and clears to its end.
const ERASE: &str = "\r\x1b[2K";
/// What is taken to be the width of a terminal that does not tell.
const WIDTH: usize = 80;

/// Stderr, shared by logs, texts and the status line. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Mutex<Inner>>);

struct Inner {
    out: Box<dyn Write + Send>,
    terminal: bool,
    line: String,
    secrets: Secrets,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Screen")
    }
}

impl Screen {
    /// Stderr of this process.
    pub(crate) fn stderr() -> Self {
        Self::new(Box::new(anstream::stderr()), io::stderr().is_terminal())
    }

    fn new(out: Box<dyn Write + Send>, terminal: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            out,
            terminal,
            line: String::new(),
            secrets: Secrets::default(),
        })))
    }

    /// Hides these in logs from now on; what is printed has to hide them itself, for numbers are none.
    pub(crate) fn hide(&self, secrets: Secrets) {
        self.0.lock().secrets = secrets;
    }

    /// Writes whole lines, above the status line.
    pub(crate) fn print(&self, text: &str) {
        self.0.lock().print(text);
    }

    /// Draws the status line anew; on anything but a terminal, nothing.
    pub(crate) fn show(&self, line: &str) {
        let mut inner = self.0.lock();
        if inner.terminal && inner.line != line {
            let width = terminal_size::terminal_size_of(io::stderr())
                .map_or(WIDTH, |(w, _)| usize::from(w.0));
            line.chars()
                .take(width.saturating_sub(1))
                .collect::<String>()
                .clone_into(&mut inner.line);
            inner.redraw();
        }
    }

    /// Takes the status line away.
    pub(crate) fn clear(&self) {
        let mut inner = self.0.lock();
        if !inner.line.is_empty() {
            inner.line.clear();
            inner.redraw();
        }
    }
}

impl Inner {
    fn print(&mut self, text: &str) {
        let text = match self.line.as_str() {
            "" => text.to_owned(),
            line => format!("{ERASE}{text}{line}"),
        };
        self.write(&text);
    }

    fn redraw(&mut self) {
        self.write(&format!("{ERASE}{}", self.line));
    }

    fn write(&mut self, text: &str) {
        // Without a stderr there is nobody left to tell.
        drop(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()));
    }
}

/// One log event on its way to the screen: written as a whole when it is complete.
#[derive(Debug)]
pub(crate) struct Event {
    screen: Screen,
    text: Vec<u8>,
}

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            let mut inner = self.screen.0.lock();
            let text = redacted(&inner.secrets, &String::from_utf8_lossy(&self.text));
            inner.print(&text);
        }
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Event;

    fn make_writer(&self) -> Event {
        Event { screen: self.clone(), text: Vec::new() }
    }
}

/// Text without secrets; of JSON, only the texts in it, so that it stays JSON.
pub(crate) fn redacted(secrets: &Secrets, text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value @ (Value::Object(_) | Value::Array(_))) => {
            redact_texts(secrets, &mut value);
            format!("{value}\n")
        }
        _ => secrets.redact(text).into_owned(),
    }
}

fn redact_texts(secrets: &Secrets, value: &mut Value) {
    match value {
        Value::String(text) => *text = secrets.redact(text).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(|v| redact_texts(secrets, v)),
        Value::Object(values) => values.values_mut().for_each(|v| redact_texts(secrets, v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(terminal: bool) -> String {
        let out = Shared::default();
        let screen = Screen::new(Box::new(out.clone()), terminal);
        screen.show("5 rows/s");
        screen.print("a log line\n");
        screen.clear();
        let bytes = out.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_log_line_never_tears_the_status_line() {
        assert_eq!(written(true), format!("{ERASE}5 rows/s{ERASE}a log line\n5 rows/s{ERASE}"));
    }

    #[test]
    fn nothing_is_redrawn_where_there_is_no_terminal() {
        assert_eq!(written(false), "a log line\n");
    }
}
