//! `${NAME}`, `${NAME:-default}` and `${file:path}` in values, and the secrets they bring.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use super::problem::Problem;
use super::secrets::Secrets;
use super::tree::{Filled, Node, Tree, Value};

/// The longest file that `${file:…}` takes in.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Puts values in place of every `${…}`, and says which secrets came with them.
pub(super) fn fill(
    tree: &mut Tree,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Secrets {
    let listen = tree.root.get("http").and_then(|(_, http)| http.get("listen"));
    let address = listen.map(|(_, node)| node.id);
    let mut fill = Fill { folder, variable, address, secrets: Vec::new(), problems: Vec::new() };
    fill.node(&mut tree.root);
    for (id, problem) in fill.problems {
        let path = tree.path(id);
        problems.push(problem.path(path));
    }
    Secrets::new(fill.secrets)
}

struct Fill<'a> {
    folder: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where the address stands that is listened on, which whoever asks there has to know.
    address: Option<usize>,
    secrets: Vec<String>,
    problems: Vec<(usize, Problem)>,
}

impl Fill<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|i| self.node(i)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, v)| self.node(v)),
            Value::Scalar(scalar) => {
                if !scalar.text.contains("${") {
                    return;
                }
                let known = self.secrets.len();
                match self.text(&scalar.text) {
                    Ok((text, filled)) => {
                        if self.address == Some(node.id) && text.parse::<SocketAddr>().is_ok() {
                            self.secrets.truncate(known);
                        }
                        scalar.text = text;
                        scalar.filled = filled;
                    }
                    Err(problem) => {
                        self.problems.push((node.id, Problem { at: node.at.clone(), ..*problem }));
                        // Fits whatever is wanted, so that it is told of once.
                        scalar.filled = Filled::Lost;
                    }
                }
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<(String, Filled), Box<Problem>> {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut filled) = (text, Filled::No);
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return Err(Box::new(
                    Problem::new("a `${` is not closed", 0..0)
                        .fix("write `${NAME}`, or `$${` for the characters `${` themselves"),
                ));
            };
            let whole = out.is_empty() && after.is_empty() && filled == Filled::No;
            filled = if whole { Filled::Whole } else { Filled::Part };
            out.push_str(&self.value(name)?);
            rest = after;
        }
        out.push_str(rest);
        Ok((out, filled))
    }

    fn value(&mut self, name: &str) -> Result<String, Box<Problem>> {
        if let Some(path) = name.strip_prefix("file:") {
            let value = self.file(path)?;
            self.secrets.push(value.clone());
            return Ok(value);
        }
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        if !is_variable(name) {
            return Err(Box::new(
                Problem::new(format!("`${{{name}}}` names no environment variable"), 0..0).fix(
                    "write `${NAME}`, `${NAME:-default}` or `${file:path}`; `$${` stands for the characters `${` themselves",
                ),
            ));
        }
        match ((self.variable)(name).filter(|v| default.is_none() || !v.is_empty()), default) {
            (Some(value), _) => {
                self.secrets.push(value.clone());
                Ok(value)
            }
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(Box::new(
                Problem::new(format!("the environment variable `{name}` is not set"), 0..0)
                    .fix(format!("set `{name}`, or write `${{{name}:-default}}`")),
            )),
        }
    }

    fn file(&self, path: &str) -> Result<String, Box<Problem>> {
        let full = self.folder.join(path);
        let read = || -> std::io::Result<String> {
            // A pipe or a device would be waited for without end.
            if !std::fs::metadata(&full)?.is_file() {
                return Err(std::io::Error::other("it is no file"));
            }
            let mut text = String::new();
            std::fs::File::open(&full)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
            if text.len() as u64 > SECRET_BYTES_MAX {
                let what = format!("it is longer than {SECRET_BYTES_MAX} bytes");
                return Err(std::io::Error::other(what));
            }
            Ok(text)
        };
        let text = read().map_err(|error| {
            Box::new(
                Problem::new(format!("cannot read `{}`: {error}", full.display()), 0..0)
                    .fix("a path in `${file:…}` is relative to the folder of the pipeline file"),
            )
        })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
